"""The evidence of a filter inside any NumPyro model."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist

from filterlearn.data import Dataset
from filterlearn.inputs import AbstractInputs
from filterlearn.models.gaps import distinct_gaps
from filterlearn.protocol import checked, scan


def condition(name: str, model, data, algorithm, *, key=None) -> None:
    """Multiplies the density of the NumPyro model around it by p(y_1..T), the evidence of `algorithm`.

    `model` is a StateSpaceModel or `family(theta)` made of sampled values, and `data` a Dataset; not inside a plate, which
    would count it once for each of its rows. For many series `model` is a function from the (traced) number of a series to
    its model, and `data` a list of Datasets, of any lengths; inside a plate over the series, or outside. The site `name` is
    the factor; `name_terms` holds the one-step terms `(T,)` or `(series, longest T)`, 0 after a series' end.

    As exact as the algorithm's evidence. An algorithm that draws takes one fixed key.
    Raises TypeError for other data and for many series whose inputs are functions of time; ValueError when a list is empty,
    or when some series have inputs and others none.
    """
    terms = _one(model, data, algorithm, key) if isinstance(data, Dataset) else _many(model, data, algorithm, key)
    total = jnp.sum(terms, axis=-1)
    factor(name, jnp.where(jnp.isfinite(total), total, -jnp.inf))
    numpyro.deterministic(f"{name}_terms", terms)


def factor(name, value) -> None:
    """`numpyro.factor`, which fails where arviz was imported before `numpyro.distributions`: arviz makes numpyro a lazy
    module, and the distributions are then loaded twice, the second time without their submodules."""
    unit = dist.Unit(value)
    numpyro.sample(name, unit, obs=unit.sample(None), infer={"is_auxiliary": True})


def _evidence(belief, info):
    return info.log_evidence


def _one(model, data, algorithm, key):
    return scan(algorithm, model, data, distinct_gaps(data.times), key, _evidence)[1]


def _many(model, data, algorithm, key):
    if not isinstance(data, Sequence):
        raise TypeError(f"data: a Dataset or a list of them is needed, got {type(data).__name__}")
    series = [checked(each) for each in data]
    if not series:
        raise ValueError("data: no series; give at least one Dataset")
    if len({each.inputs is None for each in series}) > 1:
        raise ValueError("data: some series have inputs and others none; give inputs to all")
    if any(isinstance(each.inputs, AbstractInputs) for each in series):
        raise TypeError("data: inputs of many series are rows, got a function of time; condition on each series by itself")
    longest = max(map(len, series))
    stacked = jax.tree.map(lambda *rows: jnp.stack(rows), *(_padded(each, longest) for each in series))
    number = jnp.arange(len(series))
    keys = None if key is None else jax.vmap(lambda i: jax.random.fold_in(key, i))(number)
    return jax.vmap(lambda i, each, k: _one(model(i), Dataset(*each), algorithm, k))(number, stacked, keys)


def _padded(data, length):
    """(times, values, inputs) with missing observations at the last time, which change nothing."""
    extra = length - len(data)

    def tail(rows, fill):
        return jnp.concatenate([rows, jnp.broadcast_to(fill, (extra, *rows.shape[1:])).astype(rows.dtype)])

    inputs = None if data.inputs is None else tail(data.inputs, data.inputs[-1])
    return tail(data.times, data.times[-1]), tail(data.values, jnp.nan), inputs
