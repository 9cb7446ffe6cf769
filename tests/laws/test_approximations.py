"""Laws of the methods that approximate: a posterior that is Gaussian, and so in reach of each, against its closed form."""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest
from numpyro.infer.autoguide import AutoDiagonalNormal

import filterlearn as fl
from filterlearn.posteriors.base import Target
from filterlearn.posteriors.optimise import peak

TRACES = []
SIZES = {"draws": 1000, "chains": 2}
METHODS = {  # with how far the bound may be below the log evidence
    "laplace": (fl.Laplace(**SIZES), 1e-9),
    "pathfinder": (fl.Pathfinder(**SIZES), 0.01),
    "svi": (fl.SVI(steps=1000, **SIZES), 0.01),
}
RNG = np.random.default_rng(0)
INPUTS = RNG.normal(size=(12, 2)) @ np.array([[1.0, 0.6], [0.0, 0.8]])
NOISE = 0.5


def build(p):
    """y = a u_0 + b u_1 + e."""
    TRACES.extend([1] * isinstance(p["a"], jax.core.Tracer))
    seen = fl.LinearGaussianObservation([[0.0]], [[NOISE]], lambda t, u: (p["a"] * u[0] + p["b"] * u[1])[None])
    return fl.StateSpaceModel(fl.Gaussian([0.0], 0.0, time=0.0), fl.LinearDiscrete([[0.0]], [[0.0]]), seen)


FAMILY = fl.ModelFamily(build, {name: fl.Parameter(dist.Normal(0.0, 1.0)) for name in "ab"})
START = jnp.array([[0.5, 0.5], [-1.0, 0.0]])
SCALE = jnp.array([0.7, 1.6])


def series(seed):
    values = INPUTS @ np.array([1.0, -0.5]) + NOISE**0.5 * np.random.default_rng(seed).normal(size=12)
    return fl.Dataset(np.arange(1.0, 13.0), values, INPUTS)


def exact(data):
    """(mean, covariance, log evidence) of the regression."""
    y, u = np.asarray(data.values)[:, 0], INPUTS
    covariance = np.linalg.inv(np.eye(2) + u.T @ u / NOISE)
    evidence = dist.MultivariateNormal(jnp.zeros(12), u @ u.T + NOISE * np.eye(12)).log_prob(y)
    return covariance @ u.T @ y / NOISE, covariance, float(evidence)


def assert_gaussian(draws, mean, covariance):
    """The moments of the draws within five standard errors, and a hundredth of an sd."""
    draws = np.reshape(draws, (-1, 2))
    sds, count = np.sqrt(np.diag(covariance)), len(draws)
    assert (abs(draws.mean(0) - mean) < (5 / count**0.5 + 0.01) * sds).all()
    units = np.outer(sds, sds)
    np.testing.assert_allclose(np.cov(draws.T) / units, covariance / units, atol=7 / count**0.5 + 0.03)


def drawn_by(method, data, family=FAMILY):
    return method.draw(Target(family, fl.Kalman(), data), START, SCALE, key=jax.random.key(0))


@pytest.fixture(scope="module", params=METHODS)
def drawn(request):
    return *METHODS[request.param], drawn_by(METHODS[request.param][0], series(1))


def test_a_gaussian_posterior_is_found(drawn):
    _, short, found = drawn
    mean, covariance, evidence = exact(series(1))
    told = found.attributes
    assert_gaussian(found.draws, mean, covariance)
    assert abs(told["log_evidence"] - evidence) < short
    assert abs(evidence - told["elbo"]) < short  # the divergence of q from the posterior, by draws
    assert "laplace" not in told or abs(told["laplace"] - evidence) < 1e-9
    np.testing.assert_allclose(found.statistics["lp"][1, 5], Target(FAMILY, fl.Kalman(), series(1))(found.draws[1, 5]))


def test_a_refit_traces_nothing(drawn):
    method, short, _ = drawn
    TRACES.clear()
    again = drawn_by(method, series(2))
    assert not TRACES
    assert exact(series(2))[2] - again.attributes["elbo"] < short


def test_a_guide_that_cannot_be_the_posterior_is_told():
    """A mean-field guide's divergence is half the log of the product of the precisions over their determinant."""
    told = drawn_by(fl.SVI(AutoDiagonalNormal, steps=1000, **SIZES), series(1)).attributes
    _, covariance, evidence = exact(series(1))
    precision = np.linalg.inv(covariance)
    short = 0.5 * np.log(np.prod(np.diag(precision)) * np.linalg.det(covariance))
    assert evidence - told["elbo"] == pytest.approx(short, abs=0.03)
    assert evidence - told["bound"][-1] == pytest.approx(short, abs=0.1)


def test_maximum_likelihood_is_least_squares():
    tree, u = fl.fit(FAMILY, series(1), fl.Kalman(), fl.MaximumLikelihood(**SIZES), key=jax.random.key(0)), INPUTS
    covariance, told = NOISE * np.linalg.inv(u.T @ u), tree["sample_stats"].attrs
    estimate = covariance @ u.T @ np.asarray(series(1).values)[:, 0] / NOISE
    np.testing.assert_allclose(told["estimate"], estimate, atol=1e-6)
    np.testing.assert_allclose(told["standard_error"], np.sqrt(np.diag(covariance)), rtol=1e-9)
    assert told["aic"] == pytest.approx(4 - 2 * told["log_likelihood"])
    assert_gaussian(np.stack([tree["posterior"][name] for name in "ab"], axis=-1), estimate, covariance)
    groups = {"posterior", "sample_stats", "log_likelihood", "log_prior", "observed_data", "constant_data", "filter"}
    assert set(tree.children) == groups


def test_what_the_data_do_not_tell_of_is_named():
    def build(p):
        seen = fl.LinearGaussianObservation([[0.0]], [[NOISE]], (p["a"] + p["b"])[None])
        return fl.StateSpaceModel(fl.Gaussian([0.0], 0.0, time=0.0), fl.LinearDiscrete([[0.0]], [[0.0]]), seen)

    with pytest.warns(UserWarning, match=r"flat along \['.* a .* b'\].*fix a parameter"):
        drawn_by(fl.MaximumLikelihood(10, 2), series(1), fl.ModelFamily(build, FAMILY.parameters))


def test_a_climb_that_is_cut_short_is_told():
    with pytest.warns(UserWarning, match=r"ended .* nats below a top; take more steps than 1"):
        drawn_by(fl.Laplace(10, 2, steps=1), series(1))


def test_a_theta_that_breaks_the_model_stops_no_climb():
    """A variance that may not be negative, with a Normal prior: half of what is near the start breaks the model."""

    def broken(p):
        step = fl.LinearDiscrete([[0.5]], p["variance"][None, None])
        return fl.StateSpaceModel(fl.Gaussian([0.0], 1.0), step, fl.LinearGaussianObservation([[1.0]], [[0.1]]))

    family = fl.ModelFamily(broken, {"variance": fl.Parameter(dist.Normal(1.0, 1.0))})
    target = Target(family, fl.Kalman(), series(1))
    found = fl.Laplace(100, 2).draw(target, jnp.array([[0.1], [3.0]]), jnp.ones(1), key=jax.random.key(1))
    assert np.isfinite(found.attributes["pareto_k"])
    np.testing.assert_allclose(*found.attributes["reached"], rtol=1e-9)
    assert found.attributes["reached"][0] >= jax.vmap(target)(jnp.linspace(0.01, 3.0, 300)[:, None]).max()
    paths = fl.Pathfinder(100, 2).draw(target, jnp.array([[0.1], [3.0]]), jnp.ones(1), key=jax.random.key(1))
    assert np.isfinite(paths.statistics["lp"]).all()  # some draws of the paths were broken, and none was kept
    assert paths.attributes["elbo"] == -np.inf


def test_a_top_without_curvature_is_refused():
    with pytest.raises(ValueError, match="family: the density has no finite curvature at its top"):
        peak(lambda theta: -jnp.sum(jnp.abs(theta) ** 1.5), jnp.zeros((2, 1)), jnp.ones(1), 5, ("a",))
