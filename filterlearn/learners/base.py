"""What the learners share."""

import jax
import jax.numpy as jnp
import numpy as np

from filterlearn.numerics.forgetting import forgetting_map
from filterlearn.numerics.small import cholesky, lower_solve, semidefinite_factor, symmetric, upper_solve
from filterlearn.protocol import AbstractAlgorithm, origin_of

_STREAM = 2**31 - 2


class AbstractLearner(AbstractAlgorithm):
    """An algorithm one level up: its problem is a ModelFamily, and the parameters are part of what it infers."""


def forgotten(family, belief, time, *, key=None):
    """A belief about a vector that ends in theta, with the parameters that forget let go towards their prior over the time
    since the belief. What it says of the other parameters stays, and of everything else given the parameters. Points that
    resampling has copied are parted: the share 1 - lambda of each deviation is drawn afresh."""
    entries, kept = family.kept(time - origin_of(belief.time, time))
    if not entries.size:
        return belief
    mean = belief.mean
    others = np.setdiff1d(np.arange(family.size), entries)
    places = [jnp.asarray(part + mean.shape[0] - family.size) for part in (others, entries)]
    prior = family.median[entries], family.sd[entries]
    kept = kept.astype(mean.dtype)
    own = None if key is None else jax.random.fold_in(key, _STREAM)  # `key` itself drives the filter's prediction
    law = forgetting_map(mean, belief.covariance, *places, *prior, kept, belief.fresh(1 - kept))
    return belief.mapped(*law, key=own)


def informed(covariance, factor):
    """The inverse of covariance^-1 + B B', positive semidefinite whatever the rounding."""
    p = covariance.shape[0]
    factor = factor if factor.shape[1] < p else semidefinite_factor(factor @ factor.T)
    seen = cholesky(jnp.eye(factor.shape[1], dtype=factor.dtype) + factor.T @ covariance @ factor)
    gain = upper_solve(seen, lower_solve(seen, factor.T @ covariance)).T
    left = jnp.eye(p, dtype=gain.dtype) - gain @ factor.T
    return symmetric(left @ covariance @ left.T + gain @ gain.T)
