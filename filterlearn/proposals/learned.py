"""A proposal learned by a network."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp

from filterlearn.inputs import input_at
from filterlearn.models.base import AbstractGaussianTransition
from filterlearn.numerics.conditioning import drawn_given
from filterlearn.numerics.masking import observed
from filterlearn.numerics.sampling import normals
from filterlearn.numerics.small import applied
from filterlearn.proposals.base import AbstractProposal, Moved, weighed


class Perceptron(eqx.Module):
    """(x, y, dt, u) to a linear datum, error `(sensors,)` and slope `(sensors, noises)`, through `depth` hidden layers of
    `width` units (Rumelhart, Hinton & Williams 1986, doi:10.1038/323533a0); affine where depth is 0.

    `inputs` is the length of u, 0 where there are none; `noises` the number of normals that the transition takes, that of the
    states unless given.
    """

    layers: eqx.nn.MLP
    sensors: int = eqx.field(static=True)

    def __init__(self, states, sensors, *, inputs=0, noises=None, width=32, depth=1, key):
        self.sensors = sensors
        told = sensors * (1 + (states if noises is None else noises))
        self.layers = eqx.nn.MLP(states + sensors + 1 + inputs, told, width, depth, jax.nn.tanh, key=key)

    def __call__(self, x, y, dt, u):
        given = [x, y, jnp.reshape(dt, 1)] + ([] if u is None else [jnp.ravel(u)])
        rows = self.layers(jnp.concatenate(given)).reshape(self.sensors, -1)
        return rows[:, 0], rows[:, 1:]


class Learned(AbstractProposal):
    """Draws x_k from the transition corrected by a network that sees the datum, and weighs by density times transition over
    proposal.

    Where the transition is m + L z, z ~ N(0, I), `network(x, y, dt, u)` tells a linear datum, e `(r,)` and B `(r, k)`, and z
    is drawn given e = B z + N(0, I): z ~ N(C B' e, C), C = (I + B' B)^-1. Whatever the network, the filter is consistent and
    its evidence unbiased. No such proposal is wider than the transition, and the locally optimal one of a linear Gaussian
    observation is among them: e = R^-1/2 (y - H m), B = R^-1/2 H L. `network` is any equinox module; `Perceptron` is one.

    To learn, climb `log_evidence`, whose mean bounds the exact one from below, by the network's weights, with a resampler
    that has derivatives (Maddison et al. 2017, arXiv:1705.09279; Naesseth et al. 2018, arXiv:1705.11140; Le et al. 2018,
    arXiv:1705.10306). Missing entries of y are given as 0, and with a row for each sensor (r = m) their rows are left out.
    Any observation; the transition must be one substep of Gaussian law. Raises TypeError otherwise.
    """

    network: Any

    def check(self, model):
        """TypeError unless the transition is one substep of Gaussian law."""
        name, transition = type(model.transition).__name__, model.transition
        if not isinstance(transition, AbstractGaussianTransition) or not transition.gaussian or transition.substeps != 1:
            raise TypeError(f"transition: Learned needs one substep of Gaussian law, got {name}; use Bootstrap()")

    def propose(self, model, belief, start, datum, *, key):
        """Each point moved by normals drawn given the network's datum; of the datum is told what the same normals, not
        corrected, would have told."""
        size = belief.points.shape[0], _width(model, belief.points[0], start, datum)
        white = normals(key, size, belief.points.dtype)
        points, weights, blind = jax.vmap(lambda x, row: self._moved(model, x, start, datum, row))(belief.points, white)
        return Moved(points, weights, weighed(model.observation, blind, datum).told)

    def lookahead(self, model, points, start, datum):
        """The weight of the most likely draw: p(y | x) where the proposal is locally optimal."""
        still = jnp.zeros(_width(model, points[0], start, datum), points.dtype)
        return jax.vmap(lambda x: self._moved(model, x, start, datum, still)[1])(points)

    def _moved(self, model, x, start, datum, white):
        """(the new point, log of density times transition over proposal, where the transition alone would lead)."""
        mean, factor = model.transition.moments(x, start, datum.time, datum.inputs)
        error, slope = self._datum(x, start, datum)
        z, ratio = drawn_given(error, slope, jnp.eye(error.shape[0], dtype=x.dtype), white)
        point = mean + applied(factor, z)
        density = model.observation.log_prob(datum.value, point, datum.time, datum.inputs)
        return point, density + ratio, mean + applied(factor, white)

    def _datum(self, x, start, datum):
        """The network's, without what is missing, and nothing where no time has passed."""
        mask, gap = observed(datum.value), datum.time - start
        inputs = input_at(datum.inputs, datum.time)
        error, slope = self.network(x, jnp.where(mask, datum.value, 0.0), gap, inputs)
        kept = (mask if error.shape == mask.shape else jnp.full(error.shape, mask.any())) & (gap > 0)
        return jnp.where(kept, error, 0.0).astype(x.dtype), jnp.where(kept[:, None], slope, 0.0).astype(x.dtype)


def _width(model, x, start, datum):
    """The number of normals that the transition takes."""
    return jax.eval_shape(lambda x: model.transition.moments(x, start, datum.time, datum.inputs)[1], x).shape[1]
