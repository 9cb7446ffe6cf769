"""The evidence inside NumPyro models: a two-level model against its exact posterior."""

import arviz as az
import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from numpyro.infer import MCMC, NUTS
from numpyro.infer.util import log_density

import filterlearn as fl

LENGTHS = (3, 7, 5)
RNG = np.random.default_rng(0)
SERIES = [fl.Dataset(np.sort(RNG.uniform(0, 4, n)), 2.0 + RNG.normal(size=n)) for n in LENGTHS]


def still(level):
    """A level that does not move, seen with variance 1."""
    start = fl.Gaussian(level[None], 0.0, time=0.0)
    return fl.StateSpaceModel(start, fl.LinearDiscrete([[1.0]], [[0.0]]), fl.LinearGaussianObservation([[1.0]], [[1.0]]))


def two_levels():
    centre = numpyro.sample("centre", dist.Normal(0.0, 3.0))
    with numpyro.plate("series", len(SERIES)):
        levels = numpyro.sample("levels", dist.Normal(centre, 0.5))
        fl.condition("y", lambda i: still(levels[i]), SERIES, fl.Kalman())


def one_by_one():
    centre = numpyro.sample("centre", dist.Normal(0.0, 3.0))
    with numpyro.plate("series", len(SERIES)):
        levels = numpyro.sample("levels", dist.Normal(centre, 0.5))
    for i, data in enumerate(SERIES):
        fl.condition(f"y{i}", still(levels[i]), data, fl.Kalman())


def test_padding_and_plates_count_each_datum_once():
    values = {"centre": jnp.array(1.0), "levels": jnp.array([0.5, 1.5, 3.0])}
    exact = dist.Normal(0.0, 3.0).log_prob(1.0) + dist.Normal(1.0, 0.5).log_prob(values["levels"]).sum()
    terms = [dist.Normal(m, 1.0).log_prob(d.values[:, 0]) for m, d in zip(values["levels"], SERIES, strict=True)]
    for model in (two_levels, one_by_one):
        density, trace = log_density(model, (), {}, values)
        np.testing.assert_allclose(density, exact + sum(t.sum() for t in terms), rtol=1e-12)
    _, trace = log_density(two_levels, (), {}, values)
    for row, term in zip(trace["y_terms"]["value"], terms, strict=True):
        np.testing.assert_allclose(row, jnp.pad(term, (0, max(LENGTHS) - len(term))), atol=1e-12)


def test_the_posterior_of_two_levels_is_exact():
    """centre | y is Gaussian: the mean of series i has variance .25 + 1/n about it. Five Monte Carlo errors."""
    precision = np.array([1 / (0.25 + 1 / n) for n in LENGTHS])
    means = np.array([float(d.values.mean()) for d in SERIES])
    variance = 1 / (1 / 9 + precision.sum())
    mcmc = MCMC(NUTS(two_levels), num_warmup=200, num_samples=600, progress_bar=False)
    mcmc.run(jax.random.key(0))
    draws = az.from_dict({"posterior": {"centre": np.asarray(mcmc.get_samples(group_by_chain=True)["centre"])}})
    found = draws["posterior"].to_dataset()
    for kind, statistic, exact in (
        ("mean", found["centre"].mean(), variance * (precision @ means)),
        ("sd", found["centre"].std(), variance**0.5),
    ):
        assert abs(float(statistic) - exact) < 5 * float(az.mcse(found, method=kind)["centre"])


@pytest.mark.parametrize(
    ("data", "words"),
    [(3.0, "data: a Dataset or a list"), ([], "data: no series"), ([1.0], "data: a Dataset is needed")],
)
def test_other_data_are_refused(data, words):
    with pytest.raises((TypeError, ValueError), match=words):
        fl.condition("y", lambda i: still(jnp.array(0.0)), data, fl.Kalman())


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        ((None, [[1.0]]), "data: some series have inputs"),
        ((fl.Held([0.0], [[1.0]]),) * 2, "data: inputs of many series"),
    ],
)
def test_inputs_of_another_kind_are_refused(inputs, words):
    some = [fl.Dataset([1.0], [1.0], each) for each in inputs]
    with pytest.raises((TypeError, ValueError), match=words):
        fl.condition("y", lambda i: still(jnp.array(0.0)), some, fl.Kalman())
