"""The evidence of a filter inside any NumPyro model."""

import jax
import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist

from filterlearn.data import Dataset, stacked
from filterlearn.models.gaps import distinct_gaps
from filterlearn.protocol import scan


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
    series = stacked(data)
    number = jnp.arange(len(data))
    keys = None if key is None else jax.vmap(lambda i: jax.random.fold_in(key, i))(number)
    return jax.vmap(lambda i, each, k: _one(model(i), each, algorithm, k))(number, series, keys)
