"""The posterior of a family's parameters over a whole series, from the evidence of a filter."""

import warnings

import equinox as eqx
import jax
import jax.numpy as jnp
import xarray as xr

from filterlearn.models.family import ModelFamily
from filterlearn.posteriors.base import Target
from filterlearn.posteriors.blackjax import NUTS
from filterlearn.posteriors.results import posterior_datatree
from filterlearn.protocol import checked

_TRIES = 8  # candidates for each chain's starting point
_LEAST = 0.01  # of the prior's sd: the least first guess of a posterior sd


def fit(family, data, algorithm, method=None, *, start=None, key) -> xr.DataTree:
    """Draws from p(theta | y_1..T) with the evidence of a plain filter, as one DataTree (groups: docs/results.md).

    `method` is `NUTS()` unless given. Moving parameters are treated as static, with a warning that names them. A filter
    that needs a key uses one fixed key for the whole fit (particle MCMC draws its own). A refit with the same family,
    algorithm and method and data of the same shape compiles nothing.
    `start`, unconstrained draws such as `belief.parameters.sample(n, key=...)` of a learner, warm-starts the chains and
    scales their proposals. Raises TypeError when `family` is not a ModelFamily; ValueError when no starting point has a
    finite density.
    """
    if not isinstance(family, ModelFamily):
        raise TypeError(f"family: a ModelFamily is needed, got {type(family).__name__}")
    data, method = checked(data), NUTS() if method is None else method
    if moving := family.moving:
        warnings.warn(f"fit treats the moving parameters {list(moving)} as static", stacklevel=2)
    first, second, third = jax.random.split(key, 3)
    target = Target(family, algorithm, data, first)
    points, scale = _start(target, method.chains, start, second)
    draws, statistics = method.draw(target, points, scale, key=third)
    return posterior_datatree(target, data, draws, statistics)


@eqx.filter_jit
def _levels(target, thetas):
    return jax.vmap(target)(thetas)


def _start(target, chains, start, key):
    """A starting point of finite density for each chain, and a first guess of the posterior's sds: from the draws given,
    else around the prior's median."""
    family, tries = target.family, (_TRIES * chains,)
    if start is None:
        points = family.median + 0.5 * family.sd * jax.random.normal(key, (*tries, family.size), family.median.dtype)
        scale = family.sd
    else:
        start = jnp.asarray(start, family.median.dtype)
        if start.ndim != 2 or start.shape[1] != family.size:
            raise ValueError(f"start: draws of shape (n, {family.size}) are needed, got {start.shape}")
        points = start[jax.random.randint(key, tries, 0, start.shape[0])]
        scale = jnp.maximum(start.std(axis=0), _LEAST * family.sd)
    finite = jnp.flatnonzero(jnp.isfinite(_levels(target, points)))
    if not len(finite):
        where = "near the prior's median" if start is None else "among the draws of `start`"
        raise ValueError(
            f"family: the evidence is not finite at any of {tries[0]} points {where}; narrow the priors, or give `start`"
        )
    return points[jnp.resize(finite, chains)], scale
