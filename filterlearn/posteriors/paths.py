"""What a posterior says of the states, of replicated data and of the future."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

from filterlearn.beliefs.base import present
from filterlearn.beliefs.ensemble import Ensemble
from filterlearn.beliefs.joint import JointBelief
from filterlearn.beliefs.particles import Particles
from filterlearn.clock import whole
from filterlearn.data import Dataset, checked
from filterlearn.diagnostics.results import times_of
from filterlearn.inputs import AbstractInputs, by_row
from filterlearn.models.family import ModelFamily
from filterlearn.posteriors.base import Target
from filterlearn.posteriors.warm import unconstrained
from filterlearn.protocol import forecast, scan
from filterlearn.smoothers.base import stacked

_BATCH = 32  # draws side by side
_SEEN = 2**31 - 3


def with_paths(tree, family, data, algorithm, smoother, *, draws: int = 200, key) -> xr.DataTree:
    """The DataTree of a fit with a path of the states, and data drawn anew, for each of `draws` draws a chain, evenly spaced:

        theta ~ p(theta | y_1..T),   x_1..T ~ p(x_1..T | y_1..T, theta),   y*_k ~ p(y_k | x_k, theta).

    Group `paths` has `x (chain, draw, time, state)`, and with `Joint(filter)` each moving parameter as `parameter_<name>`,
    constrained; `posterior_predictive` has `y (chain, draw, time, sensor)` (Gelman, Meng & Stern 1996, Statistica Sinica 6,
    733-760). `family`, `data` and `algorithm` are those of the fit, and `smoother` one that draws paths
    (`GaussianPaths(filter, 1)`, `BackwardSampling(1)`, `EnsembleRauchTungStriebel(filter)`), of which each draw takes one.
    As exact as the posterior and the smoother.

    Raises TypeError for a smoother that draws no paths and where the smoother does; ValueError for a tree that lacks one of
    the parameters.
    """
    target, thetas, chosen = _chosen(tree, family, data, algorithm, draws)
    found = _paths(target, smoother, thetas, jax.random.split(key, len(thetas)))
    groups = {"paths": {"x": found[0], **found[2]}, "posterior_predictive": {"y": found[1]}}
    return _joined(tree, groups, chosen, times_of(data))


def with_predictions(tree, family, data, algorithm, times, *, inputs=None, draws: int = 200, key) -> xr.DataTree:
    """The DataTree of a fit with a future for each of `draws` draws a chain, evenly spaced: from the filter's last belief at
    theta the states and data of `times`, drawn from the model.

    Group `predictions` has `x (chain, draw, time, state)` and `y (chain, draw, time, sensor)`, with times of its own. A
    learner's moving parameters stay where the last belief draws them, as in `forecast`. `inputs` are rows beside `times` or
    a function of time, the data's own where those are one. As exact as the posterior and the filter.

    Raises ValueError for times before the last datum or decreasing, other rows of inputs, and a tree that lacks one of the
    parameters; TypeError for datetimes where the data have numbers.
    """
    target, thetas, chosen = _chosen(tree, family, data, algorithm, draws)
    future = _future(data, times, inputs)
    states, seen = _futures(target, future.times, future.inputs, thetas, jax.random.split(key, len(thetas)))
    return _joined(tree, {"predictions": {"x": states, "y": seen}}, chosen, times_of(future))


def _future(data, times, inputs):
    """The times and inputs to come, on the clock of the data."""
    given = data.inputs if inputs is None and isinstance(data.inputs, AbstractInputs) else inputs
    width = (len(times), data.values.shape[1])
    future = Dataset(times, np.full(width, np.nan), given, origin=data.origin, unit=data.unit)
    if future.origin != data.origin:
        raise TypeError("times: those of the data are numbers, and these are datetimes; give both alike")
    if future.times[0] < data.times[-1]:
        raise ValueError(f"times: {data.times[-1]:g}, the last of the data, or later is needed, got {future.times[0]:g}")
    return future


def _chosen(tree, family, data, algorithm, draws):
    """(the target, unconstrained draws `(k, p)` by chain, the chains and draws that they are)."""
    whole("draws", draws, 1)
    target, posterior = Target(family, algorithm, checked(data)), tree["posterior"].dataset
    names = target.sampled.names
    if absent := [name for name in names if name not in posterior]:
        raise ValueError(f"tree: its posterior has no {absent[0]!r}; give the family and algorithm of the fit")
    places = np.unique(np.linspace(0, posterior.sizes["draw"] - 1, draws).round().astype(int))
    some = posterior[list(names)].isel(draw=places)
    thetas = unconstrained(some, target.sampled).reshape(-1, target.sampled.size)
    return target, thetas, {"chain": some["chain"].values, "draw": some["draw"].values}


def _of_draws(function, thetas, keys):
    """function(theta, key) of each draw, in whole batches side by side, the last filled up."""
    batch, size = min(_BATCH, len(thetas)), len(thetas)
    filled = jnp.arange(-(-size // batch) * batch) % size
    found = jax.lax.map(lambda i: function(thetas[i], keys[i]), filled, batch_size=batch)
    return jax.tree.map(lambda leaf: leaf[:size], found)


@eqx.filter_jit
def _paths(target, smoother, thetas, keys):
    """States `(k, T, n)`, data drawn anew `(k, T, m)` and moving parameters by name."""
    data = target.data
    rows, read = by_row(data.inputs)

    def one(theta, key):
        problem = target.problem(theta)
        beliefs = scan(target.algorithm, problem, data, target.gaps, key, lambda belief, info: belief)[1]
        smoothed = smoother.backward(problem, present(beliefs), data, key=key)
        path, split = _path(smoother, smoothed), getattr(smoothed, "split", None)
        states, moving = path[:, :split], path[:, split:] if split else path[:, :0]

        def seen(x, own, time, row, key):
            model = (problem(own) if isinstance(problem, ModelFamily) else problem).resolve()
            return model.observation.sample(x, time, read(row), key=key)

        again = jax.random.split(jax.random.fold_in(key, _SEEN), len(data))
        named = jax.vmap(problem.constrain)(moving) if isinstance(problem, ModelFamily) else {}
        told = {f"parameter_{name}": values for name, values in named.items()}
        return states, jax.vmap(seen)(states, moving, data.times, rows, again), told

    return _of_draws(one, thetas, keys)


def _path(smoother, smoothed):
    """One path `(T, n)` of those that a smoother drew."""
    belief = stacked(smoothed)
    if not isinstance(smoothed, JointBelief | Particles | Ensemble) or not isinstance(belief, Particles | Ensemble):
        raise TypeError(
            f"smoother: one that draws paths is needed, got {type(smoother).__name__}; give GaussianPaths(filter, 1), "
            "BackwardSampling(1) or EnsembleRauchTungStriebel(filter)"
        )
    return (belief.points if isinstance(belief, Particles) else belief.members)[:, 0]


@eqx.filter_jit
def _futures(target, times, inputs, thetas, keys):
    """States `(k, T, n)` and data `(k, T, m)` to come."""

    def one(theta, key):
        problem, (first, second) = target.problem(theta), jax.random.split(key)
        last = scan(target.algorithm, problem, target.data, target.gaps, first, lambda belief, info: None)[0]
        drawn = forecast(target.algorithm, problem, last, times, inputs=inputs, key=second, draws=1)
        return drawn.states[0], drawn.observations[0]

    return _of_draws(one, thetas, keys)


def _joined(tree, groups, chosen, times):
    """A copy of the tree with other groups, their arrays `(k, T, ...)` laid out by chain and draw."""
    copy = tree.copy()
    shape, dims = tuple(map(len, chosen.values())), {"x": "state", "y": "sensor"}

    def laid_out(name, array):
        array = np.asarray(array).reshape(*shape, *array.shape[1:])
        axes = [dims.get(name, f"{name}_dim_{i}") for i in range(array.ndim - 3)]
        return ("chain", "draw", "time", *axes), array

    for group, variables in groups.items():
        arrays = {name: laid_out(name, array) for name, array in variables.items()}
        copy[group] = xr.DataTree(xr.Dataset(arrays, {**chosen, "time": times}))
    return copy
