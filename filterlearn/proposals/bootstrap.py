"""Points moved by the transition."""

import equinox as eqx
import jax
import jax.numpy as jnp

from filterlearn.proposals.base import AbstractProposal, weighed


class Bootstrap(AbstractProposal):
    """The transition itself, blind to the datum: weights are the densities (Gordon, Salmond & Smith 1993,
    doi:10.1049/ip-f-2.1993.0015). Any transition that can be sampled, any density; wasteful with a precise sensor."""

    def moved(self, model, points, start, time, inputs, *, key):
        """A draw of the transition for each point."""
        # Without the barrier the compiler may move the points anew for each of their readers.
        return jax.lax.optimization_barrier(model.transition.sample_many(points, start, time, inputs, key=key))

    def propose(self, model, belief, start, datum, *, key):
        """A draw of the transition for each point, weighed."""
        points = self.moved(model, belief.points, start, datum.time, datum.inputs, key=key)
        return weighed(model.observation, points, datum)

    def lookahead(self, model, points, start, datum):
        """The density where the transition leads without noise."""
        transition, y, t, u = model.transition, datum.value, datum.time, datum.inputs
        noise = transition.draw_noise(1, points[0], u, key=jax.random.key(0))
        still = jax.tree.map(lambda leaf: jnp.zeros_like(leaf[0]) if eqx.is_inexact_array(leaf) else leaf[0], noise)
        return jax.vmap(lambda x: model.observation.log_prob(y, transition.push(x, start, t, u, still), t, u))(points)
