"""Sequential quasi-Monte Carlo."""

import math

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.scipy.special import ndtri

from filterlearn.beliefs.gaussian import AbstractGaussianBelief
from filterlearn.beliefs.particles import Particles
from filterlearn.clock import whole
from filterlearn.filters.base import particle_info
from filterlearn.models.base import starting_sample
from filterlearn.numerics.densities import normalise
from filterlearn.numerics.hilbert import hilbert_order
from filterlearn.numerics.masking import choose, observed
from filterlearn.numerics.quasi import quasi_uniforms
from filterlearn.proposals.base import weighed
from filterlearn.protocol import AbstractAlgorithm, needed, origin_of, strong
from filterlearn.resamplers.base import inverse_cdf


class SequentialQuasiMonteCarlo(AbstractAlgorithm):
    """A particle filter whose `size` points are chosen and moved by evenly spread points of a cube, randomised anew for each
    gap (Gerber & Chopin 2015, doi:10.1111/rssb.12104): with (v, z) a row of a scrambled Sobol sequence, the ancestor is
    where the weights, of points sorted along a Hilbert curve, sum to v, and the noise of the transition is Phi^-1(z).

    Consistent; exp(total log evidence) unbiased, and its variance falls faster than 1 / N: the gain is large where a gap
    takes few normals, one for each of a few states, and fades as states or normals become many. A power of two is the best
    `size`. Any density, and any transition whose noise is normals: TypeError for marks of jumps that are neither Normal
    nor Delta. A Gaussian start is drawn alike, any other plainly. The weights carry the derivative of the
    choice of ancestors, as `StopGradient` does: that of the evidence is consistent for the score, and noisy.
    """

    size: int = eqx.field(static=True)

    def __check_init__(self):
        whole("size", self.size, 2)

    def init(self, problem, *, key=None):
        """Points of the initial law."""
        model, key = problem.resolve(), needed(key)
        points, time = starting_sample(model.initial, self.size, key)
        if isinstance(model.initial, AbstractGaussianBelief):
            noise = ndtri(quasi_uniforms(key, *points.shape, points.dtype))
            points = model.initial.mean + noise @ model.initial.factor.T
        return strong(Particles(points, jnp.full(self.size, -jnp.log(self.size), points.dtype), time))

    def predict(self, problem, belief, time, inputs=None, *, key=None):
        """Points chosen and moved; at equal times nothing."""
        transition, start = problem.resolve().transition, origin_of(belief.time, time)
        leaves, form = _noise(transition, belief.points, inputs)
        cube = quasi_uniforms(needed(key), self.size, 1 + sum(map(_width, leaves)), belief.points.dtype)
        frozen = jax.lax.stop_gradient(belief.log_weights)
        order = hilbert_order(belief.points, jnp.exp(frozen))
        ancestors = order[inverse_cdf(frozen[order], cube[:, 0])]
        rest, noise = ndtri(cube[:, 1:]), []
        for leaf in leaves:
            noise.append(rest[:, : _width(leaf)].reshape(self.size, *leaf.shape[1:]))
            rest = rest[:, _width(leaf) :]
        moved = jax.vmap(lambda x, e: transition.push(x, start, time, inputs, e))(
            belief.points[ancestors], jax.tree.unflatten(form, noise)
        )
        even = (belief.log_weights - frozen)[ancestors] - jnp.log(jnp.asarray(self.size, frozen.dtype))
        new = choose(time > start, (moved, even), (belief.points, belief.log_weights))
        return Particles(*new, time)

    def update(self, problem, belief, datum, *, key=None):
        """Weights times the densities."""
        moved, mask = weighed(problem.resolve().observation, belief.points, datum), observed(datum.value)
        factors = jnp.where(jnp.isnan(moved.log_weights), -jnp.inf, moved.log_weights)
        weights, evidence = normalise(belief.log_weights + factors)
        info = particle_info(belief, moved.told, mask, jnp.where(mask.any(), evidence, 0.0), weights)
        return choose(mask.any(), Particles(belief.points, weights, belief.time), belief), info


def _width(leaf) -> int:
    return math.prod(leaf.shape[1:])


def _noise(transition, points, inputs):
    """(leaves, structure) of what the transition takes for each point; TypeError where it is more than normals."""
    law = jax.eval_shape(lambda x: transition.draw_noise(1, x, inputs, key=jax.random.key(0)), points[0])
    leaves, form = jax.tree.flatten(law)
    if not all(jnp.issubdtype(leaf.dtype, jnp.floating) for leaf in leaves):
        raise TypeError(
            "transition: SequentialQuasiMonteCarlo needs noise made of normals, got marks that are drawn by a key; "
            "use Normal marks, or ParticleFilter"
        )
    return leaves, form
