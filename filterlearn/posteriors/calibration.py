"""Simulation-based calibration of a posterior."""

import warnings

import arviz as az
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from filterlearn.clock import whole
from filterlearn.data import Dataset
from filterlearn.diagnostics.calibrated import Calibration
from filterlearn.diagnostics.ranks import ranks
from filterlearn.diagnostics.worlds import simulated
from filterlearn.inputs import as_inputs
from filterlearn.learners.base import AbstractLearner
from filterlearn.posteriors.base import TRIES, Target
from filterlearn.posteriors.blackjax import NUTS

_LOOKING = (jax.errors.ConcretizationTypeError, jax.errors.TracerArrayConversionError)  # of a method that looks at numbers
_TOGETHER = 25  # worlds side by side
_ENOUGH = 0.75  # effective size over the number of draws ranked: that of independent draws is estimated a little low


def calibrate(
    family, times, algorithm, method=None, *, truth=None, inputs=None, replicates: int = 200, draws: int = 99, key
) -> Calibration:
    """Simulation-based calibration (Talts et al. 2018, arXiv:1804.06788): in each of so many worlds theta is drawn from the
    prior and data at `times` from theta, `method` draws from the posterior, and theta is ranked among `draws` of them, taken
    at even distances. Over worlds it is uniform when model, algorithm and method are exact.

    `truth`, a family with the same parameters, draws the worlds instead, to see that a wrong model is found out. A method
    that can be traced runs in many worlds side by side, any other in one after another; data of one shape compile nothing
    anew. With a learner the moving parameters move, and the static ones are ranked. A note tells when the effective size of
    the draws is well below their number: ranks are then not quite uniform, and the method should draw longer.

    Raises ValueError for moving parameters under a filter, for a `truth` with other parameters, and for fewer draws of the
    method than `draws`.
    """
    method = NUTS() if method is None else method
    whole("replicates", replicates, 1)
    if family.moving and not isinstance(algorithm, AbstractLearner):
        raise ValueError(f"algorithm: {list(family.moving)} move; give a learner, such as Joint(filter)")
    first, second, third = jax.random.split(key, 3)
    times = jnp.asarray(times, family.median.dtype)
    inputs = as_inputs(inputs, times.dtype)
    states, values = simulated(family, truth, times, inputs, jax.random.split(first, replicates))
    targets = _Targets(family, algorithm, Dataset(times, values[0], inputs), values)
    found, notes = _drawn(method, targets, jax.random.split(second, replicates))
    if found.shape[1] * found.shape[2] < draws:
        raise ValueError(f"draws: the method makes {found.shape[1] * found.shape[2]}, fewer than the {draws} wanted")
    return _ranked(targets.first.sampled, targets.first.part(states[:, 0, -family.size :]), found, draws, notes, third)


class _Targets(eqx.Module):
    """The posteriors of many series of one shape: the first, and all values."""

    first: Target
    values: jax.Array

    def __init__(self, family, algorithm, data, values):
        self.first, self.values = Target(family, algorithm, data), values

    def at(self, values, key):
        """The posterior of other values, with a key for the filter."""
        target = eqx.tree_at(lambda t: t.data.values, self.first, values)
        return eqx.tree_at(lambda t: t.key, target, key, is_leaf=lambda leaf: leaf is None)


def _one(method, targets, values, key):
    """Draws of one posterior, `(chains, draws, p)`, from the likeliest of some points around the prior's median."""
    first, second, third = jax.random.split(key, 3)
    target = targets.at(values, first)
    points, scale = _start(target, method.chains, second)
    return method.draw(target, points, scale, key=third).draws


@eqx.filter_jit
def _start(target, chains, key):
    family, tries = target.sampled, max(TRIES, chains)
    points = family.median + 0.5 * family.sd * jax.random.normal(key, (tries, family.size), family.median.dtype)
    found = jax.vmap(lambda theta: target(theta))(points)
    return points[jnp.argsort(-found)[:chains]], family.sd


def _drawn(method, targets, keys):
    """(draws `(worlds, chains, draws, p)`, notes of what the method warned of)."""
    each = lambda pair: _one(method, targets, *pair)  # noqa: E731
    pairs = targets.values, keys
    try:
        jax.eval_shape(each, jax.tree.map(lambda leaf: leaf[0], pairs))
    except _LOOKING:
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            found = jnp.stack([each(pair) for pair in zip(*pairs, strict=True)])
        return found, ((f"{len(told)} warnings, the first: {told[0].message}",) if told else ())
    return _together(method, targets, keys), ()


@eqx.filter_jit
def _together(method, targets, keys):
    return jax.lax.map(lambda pair: _one(method, targets, *pair), (targets.values, keys), batch_size=_TOGETHER)


def _ranked(family, thetas, found, draws, notes, key):
    flat = found.reshape(len(found), -1, found.shape[-1])
    chosen = np.linspace(0, flat.shape[1] - 1, draws).round().astype(int)
    rank = np.asarray(ranks(flat[:, chosen], thetas, key=key))
    return Calibration(dict(zip(family.entries, rank.T, strict=True)), draws, notes + _notes(family, found, draws))


def _notes(family, found, draws):
    """Of the entry of theta whose effective size is least, in the median world, where it is below the number ranked."""
    every = np.moveaxis(np.asarray(found), 0, 2)
    sizes = np.median(az.ess(every, chain_axis=0, draw_axis=1), axis=0)
    least = int(np.nan_to_num(sizes).argmin())
    if sizes[least] >= _ENOUGH * draws:
        return ()
    return (f"{family.entries[least]}: {sizes[least]:.0f} effective draws of {draws} ranked; let the method draw longer",)
