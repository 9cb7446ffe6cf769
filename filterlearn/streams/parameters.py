"""What a report tells of a learner's parameters."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from filterlearn.beliefs.ensemble import Ensemble
from filterlearn.beliefs.gaussian import AbstractGaussianBelief
from filterlearn.beliefs.low_rank import LowRankGaussian
from filterlearn.beliefs.particles import Particles, weighted_quantile

_LEVELS = (0.05, 0.5, 0.95)
_UPPER = 1.6448536269514722  # the normal quantile of the last level
_NODES = 21  # of Gauss-Hermite quadrature: exact to the 41st power


def named_parameters(family, belief, key, draws: int = 1000) -> dict[str, dict[str, Any]]:
    """Constrained mean, sd and 5, 50 and 95 % quantiles by name.

    By the weights of particles and the members of an ensemble. Of a Gaussian belief the quantiles of entries constrained
    one by one are exact and the moments by Gauss-Hermite quadrature with 21 nodes; others are from draws.
    """
    parameters = belief.parameters
    if isinstance(parameters, Particles):
        return _by_weight(family, parameters.points, parameters.weights)
    if isinstance(parameters, Ensemble):
        size, dtype = parameters.members.shape[0], parameters.members.dtype
        return _by_weight(family, parameters.members, jnp.full(size, 1.0 / size, dtype))
    own = _by_entry(family, parameters) if isinstance(parameters, AbstractGaussianBelief | LowRankGaussian) else {}
    if len(own) == len(family.names):
        return own
    thetas = parameters.sample(draws, key=key)
    return _by_weight(family, thetas, jnp.full(draws, 1.0 / draws, thetas.dtype)) | own


def _by_weight(family, thetas, weights):
    """Of weighted points."""

    def summary(values):
        flat = values.reshape(values.shape[0], -1)
        mean = weights @ flat
        sd = jnp.sqrt(weights @ (flat - mean) ** 2)
        return _shaped(values.shape[1:], mean, sd, weighted_quantile(flat, weights, _LEVELS))

    return {name: summary(values) for name, values in jax.vmap(family.constrain)(thetas).items()}


def _by_entry(family, belief):
    """Of a Gaussian belief, those whose entries are constrained one by one: by a monotone function each."""
    nodes, weights = _rule()
    levels = belief.quantile(jnp.asarray(_LEVELS, belief.mean.dtype))
    sd = (levels[2] - levels[0]) / (2 * _UPPER)
    across = jax.vmap(family.constrain)(belief.mean + jnp.asarray(nodes, sd.dtype)[:, None] * sd)
    bounds, weigh = jax.vmap(family.constrain)(levels), jnp.asarray(weights, sd.dtype)

    def summary(values, quantiles):
        flat = values.reshape(_NODES, -1)
        mean = weigh @ flat
        return _shaped(values.shape[1:], mean, jnp.sqrt(weigh @ (flat - mean) ** 2), jnp.sort(quantiles, axis=0))

    return {name: summary(across[name], bounds[name]) for name in family.separate}


def _shaped(shape, mean, sd, quantiles):
    return {"mean": mean.reshape(shape), "sd": sd.reshape(shape), "quantiles": quantiles.reshape(len(_LEVELS), *shape)}


@functools.cache
def _rule():
    """Nodes and weights for a standard normal."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(_NODES)
    return nodes, weights / weights.sum()
