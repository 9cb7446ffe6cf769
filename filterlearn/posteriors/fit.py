"""The posterior of a family's parameters over a whole series, from the evidence of a filter or learner."""

import warnings

import jax
import jax.numpy as jnp
import xarray as xr

from filterlearn.data import checked
from filterlearn.diagnostics.step_size import takes_steps, warn_of
from filterlearn.learners.base import AbstractLearner
from filterlearn.models.family import ModelFamily
from filterlearn.posteriors.base import TRIES, Target, levels
from filterlearn.posteriors.blackjax import NUTS
from filterlearn.posteriors.results import posterior_datatree
from filterlearn.posteriors.steps import posterior_steps
from filterlearn.posteriors.warm import drawn_before

_LEAST = 0.01  # of the prior's sd: the least first guess of a posterior sd


def fit(family, data, algorithm, method=None, *, start=None, key) -> xr.DataTree:
    """Draws from p(theta | y_1..T) with the evidence of an algorithm, as one DataTree (groups: docs/results.md).

    With a filter, moving parameters are treated as static, with a warning that names them; with a learner, such as
    `Joint(filter)`, the static parameters are sampled and the moving ones filtered. `method` is `NUTS()` unless given. An
    algorithm that needs a key uses one fixed key for the whole fit (particle MCMC draws its own). A refit with the same
    family, algorithm and method and data of the same shape does not compile the model again. Where the model takes steps,
    draws of the posterior are tried at half the step: a warning tells of more than 1 nat, or a quarter of a posterior sd.

    `start`, unconstrained draws of the whole family such as `belief.parameters.sample(n, key=...)` of a learner, or the
    DataTree of another fit, warm-starts the chains and scales their proposals. Raises TypeError when `family` is not a
    ModelFamily; ValueError when no starting point has a finite density, and as `Target` does.
    """
    if not isinstance(family, ModelFamily):
        raise TypeError(f"family: a ModelFamily is needed, got {type(family).__name__}")
    data, method = checked(data), NUTS() if method is None else method
    if family.moving and not isinstance(algorithm, AbstractLearner):
        warnings.warn(f"fit treats the moving parameters {list(family.moving)} as static", stacklevel=2)
    start = drawn_before(family, start) if isinstance(start, xr.DataTree) else start
    first, second, third = jax.random.split(key, 3)
    target = Target(family, algorithm, data, first)
    points, scale = starting_points(target, method.chains, start, second)
    drawn = method.draw(target, points, scale, key=third)
    median = jnp.median(drawn.draws.reshape(-1, drawn.draws.shape[-1]), axis=0)
    tree = posterior_datatree(target, data, drawn, median)
    if takes_steps(target.problem(median)):
        report = posterior_steps(target, drawn.draws, key=first)
        warn_of(report)
        found = {f"half_step_{name}": getattr(report, name) for name in ("change", "error", "shift", "shift_error")}
        tree["filter"].attrs |= {"steps": report.steps} | found
    return tree


def starting_points(target, chains, start, key):
    """A starting point of finite density for each chain, the most likely first, and a first guess of the posterior's sds:
    from the draws given, else around the prior's median."""
    family, tries = target.sampled, (max(TRIES, chains),)
    if start is None:
        points = family.median + 0.5 * family.sd * jax.random.normal(key, (*tries, family.size), family.median.dtype)
        scale = family.sd
    else:
        start = jnp.asarray(start, family.median.dtype)
        if start.ndim != 2 or start.shape[1] != target.family.size:
            raise ValueError(f"start: draws of shape (n, {target.family.size}) are needed, got {start.shape}")
        draws = target.part(start)
        points = draws[jax.random.randint(key, tries, 0, draws.shape[0])]
        scale = jnp.maximum(draws.std(axis=0), _LEAST * family.sd)
    found = levels(target, points, jnp.broadcast_to(target.key, tries))
    finite = jnp.flatnonzero(jnp.isfinite(found))
    if not len(finite):
        where = "near the prior's median" if start is None else "among the draws of `start`"
        cure = "narrow the priors, or give `start`" if start is None else "give others"
        raise ValueError(f"family: the evidence is not finite at any of {tries[0]} points {where}; {cure}")
    chosen = jnp.resize(finite, chains)
    return points[chosen[jnp.argsort(-found[chosen])]], scale
