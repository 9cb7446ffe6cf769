"""What a stream compiles: its start, its step, and what makes a belief larger."""

from functools import lru_cache
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp

from filterlearn import protocol
from filterlearn.beliefs.base import present
from filterlearn.beliefs.joint import AbstractJointBelief
from filterlearn.beliefs.particles import Particles, weighted_quantile
from filterlearn.data import Datum
from filterlearn.numerics.leaves import joined

_LEVELS = (0.05, 0.5, 0.95)
REFUSED = protocol.NOT_FINITE | protocol.COVARIANCE_LOST


def named_parameters(family, belief, key, draws: int = 1000) -> dict[str, dict[str, Any]]:
    """Constrained summaries of a learner's parameters, by the weights of its particles, or from draws of its belief."""
    parameters = belief.parameters
    if isinstance(parameters, Particles):
        thetas, weights = parameters.points, parameters.weights
    else:
        thetas = parameters.sample(draws, key=key)
        weights = jnp.full(draws, 1.0 / draws, thetas.dtype)

    def summary(values):
        flat = values.reshape(values.shape[0], -1)
        mean = weights @ flat
        sd = jnp.sqrt(weights @ (flat - mean) ** 2)
        parts = {"mean": mean, "sd": sd, "quantiles": weighted_quantile(flat, weights, _LEVELS)}
        return {name: part.reshape(*part.shape[:-1], *values.shape[1:]) for name, part in parts.items()}

    return {name: summary(values) for name, values in jax.vmap(family.constrain)(thetas).items()}


@eqx.filter_jit
def start(algorithm, problem, key):
    """The belief before any datum."""
    return protocol.strong(algorithm.init(problem, key=jax.random.fold_in(key, 0)))


@eqx.filter_jit
def enlarged(algorithm, problem, belief, flags, key):
    """The belief of the algorithm before, made the larger one's."""
    return protocol.strong(algorithm.enlarged(problem, belief, flags, key=key))


def _finite(belief):
    """Whether the moments are."""
    moments, inside = [belief.mean, belief.covariance], present(belief)
    moments += [inside.parameters.mean] if isinstance(inside, AbstractJointBelief) else []
    return jnp.all(jnp.stack([jnp.isfinite(each).all() for each in moments]))


@lru_cache(maxsize=64)
def compiled(rest):
    """The step of every algorithm and problem of one form: plain `jit`, whose call costs a third of `filter_jit`'s."""

    def observe(arrays, belief, k, time, value, inputs, key):
        """(belief, Info with its flags, what the report tells): the belief before, bit for bit, where the new one is lost or
        the datum is late."""
        algorithm, problem = joined(arrays, rest)
        each = jax.random.fold_in(key, k)
        after, info = protocol.step(algorithm, problem, belief, Datum(time, value, inputs), key=each)
        flags = info.flags | protocol.NOT_FINITE * ~_finite(after)
        good = (flags & (REFUSED | protocol.LATE)) == 0
        kept = jax.tree.map(lambda new, old: jnp.where(good, jnp.asarray(new, old.dtype), old), after, belief)
        named = {}
        if isinstance(inside := present(kept), AbstractJointBelief):
            named = named_parameters(problem, inside, jax.random.fold_in(each, 3))
        return kept, eqx.tree_at(lambda i: i.flags, info, flags), (kept.mean, kept.covariance, named)

    return jax.jit(observe)
