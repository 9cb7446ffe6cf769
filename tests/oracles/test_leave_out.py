"""One datum left out, and the future, against fits without them."""

import arviz as az
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest

import filterlearn as fl
from filterlearn import datasets
from filterlearn.models.gaps import distinct_gaps
from filterlearn.posteriors.base import Target
from filterlearn.posteriors.leave_out import left_out
from tests.cases import driven_data, driven_model, hidden_family

METHOD = fl.ParticleMCMC(300, 1500, 2)  # over an exact evidence: a random walk that learns its covariance
FIRST = 40


def without_each(data):
    """The values with each row missing in turn, `(T, T, m)`."""
    return jnp.where(jnp.eye(len(data), dtype=bool)[..., None], jnp.nan, data.values)


@pytest.mark.parametrize(
    ("algorithm", "problem"),
    [(fl.Kalman(), driven_model()), (fl.Joint(fl.ExtendedKalman()), None)],
    ids=["kalman", "joint"],
)
def test_a_datum_left_out_is_predicted_as_if_it_were_missing(algorithm, problem):
    """log p(y_k | others) = log p(all) - log p(others), with inputs, missing entries and two data at one time."""
    data, problem = driven_data(20), problem or hidden_family()
    if isinstance(algorithm, fl.Joint):
        data = fl.Dataset(data.times, data.values, np.random.default_rng(0).normal(size=(20, 2)))
    gaps = distinct_gaps(data.times)

    @jax.jit
    def both(values):
        level = lambda v: fl.log_evidence(algorithm, problem, fl.Dataset(data.times, v, data.inputs))  # noqa: E731
        return left_out(algorithm, problem, data, gaps), level(values) - jax.vmap(level)(without_each(data))

    found, wanted = both(data.values)
    np.testing.assert_allclose(found, wanted, rtol=1e-9, atol=1e-9)
    assert found[5] == 0


def build(p):
    step = fl.LinearDiscrete([[1.0]], p["level"][None, None] ** 2)
    seen = fl.LinearGaussianObservation([[1.0]], p["noise"][None, None] ** 2)
    return fl.StateSpaceModel(fl.Gaussian([1100.0], 1e5), step, seen)


def nile_family(level):
    """Local levels that move so much, in logarithms."""
    priors = {"level": dist.LogNormal(level, 1.0), "noise": dist.LogNormal(5.0, 1.0)}
    return fl.ModelFamily(build, {name: fl.Parameter(prior) for name, prior in priors.items()})


@pytest.fixture(scope="module")
def fits():
    """Of the Nile: a level that moves, and one that hardly does; one trace for both."""
    data, families = datasets.nile(), {"moves": nile_family(3.5), "still": nile_family(-4.0)}
    return data, families, {n: fl.fit(f, data, fl.Kalman(), METHOD, key=jax.random.key(0)) for n, f in families.items()}


def grid(family, data):
    """(thetas, log evidence increments, log terms left out, log prior) on a grid that holds the posterior."""
    axes = [jnp.linspace(1.5, 5.5, 60), jnp.linspace(4.2, 5.4, 60)]
    thetas = jnp.stack(jnp.meshgrid(*axes, indexing="ij"), -1).reshape(-1, 2)
    target = Target(family, fl.Kalman(), data)
    both = lambda th: (target.terms(th), left_out(fl.Kalman(), family(th), data, target.gaps), family.log_prior(th))  # noqa: E731
    return eqx.filter_jit(jax.vmap(both))(thetas)


def test_leaving_out_on_the_nile(fits):
    """elpd by PSIS against quadrature, within five Monte Carlo errors; every Pareto k good; the moving level is better."""
    data, families, trees = fits
    left = {n: fl.leave_one_out(trees[n], families[n], data, fl.Kalman()) for n in trees}
    assert "all other data" in left["moves"]["log_likelihood"].attrs["terms"]
    assert "later terms still see" in trees["moves"]["log_likelihood"].attrs["terms"]
    loo = az.loo(left["moves"], pointwise=True)
    assert (loo.pareto_k < 0.7).mean() >= 0.95

    terms, out, prior = grid(families["moves"], data)
    weights = jax.nn.softmax(terms.sum(1) + prior)
    exact = -np.log(weights @ np.exp(-out)).sum()
    ratio = np.exp(-left["moves"]["log_likelihood"]["y"])
    influence = (ratio / ratio.mean(("chain", "draw"))).sum("time").to_dataset(name="y")
    assert abs(loo.elpd - exact) < 5 * float(az.mcse(influence)["y"])

    table = az.compare(left)
    assert table.index[0] == "moves"
    assert abs(table["elpd_diff"].iloc[1]) > 2 * table["dse"].iloc[1]


def test_leaving_the_future_out_on_the_nile(fits):
    """sum of log p(y_k | y_1..k-1), theta integrated out: a ratio of evidences on the grid."""
    data, families, trees = fits
    found = {
        n: fl.leave_future_out(trees[n], families[n], data, fl.Kalman(), METHOD, first=FIRST, key=jax.random.key(1))
        for n in trees
    }
    terms, _, prior = grid(families["moves"], data)
    level = jax.nn.logsumexp(jnp.cumsum(terms, axis=1) + prior[:, None], axis=0)
    draws = np.exp(trees["moves"]["log_likelihood"]["y"].isel(time=slice(FIRST, None)))
    size = float(az.ess(trees["moves"]["posterior"].to_dataset()).to_array().min())
    error = float((draws.std(("chain", "draw")) / draws.mean(("chain", "draw"))).sum()) / size**0.5
    assert found["moves"].n_data_points == 60
    assert error < 1.5
    assert found["moves"].elpd == pytest.approx(float(level[-1] - level[FIRST - 1]), abs=error)  # all errors of one sign
    assert az.compare(found).index[0] == "moves"


def test_a_datum_seen_without_noise_is_refused(fits):
    data, families, trees = fits
    exact = trees["moves"].copy(deep=True)
    exact["posterior"]["noise"] = 0.0 * exact["posterior"]["noise"]
    with pytest.raises(ValueError, match="data: row 0 cannot be left out"):
        fl.leave_one_out(exact, families["moves"], data, fl.Kalman())
