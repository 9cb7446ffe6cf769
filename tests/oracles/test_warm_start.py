"""A stream that starts from a posterior: half the data fitted and half streamed are all of them."""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest
import xarray as xr

import filterlearn as fl
from tests.laws.test_approximations import FAMILY, INPUTS, NOISE, exact, series


def posterior(mean, covariance, count=4000):
    """Draws with exactly these moments, laid out as a fit's."""
    draws = np.random.default_rng(1).normal(size=(count, 2))
    draws = draws - draws.mean(0)
    white = draws @ np.linalg.inv(np.linalg.cholesky(draws.T @ draws / count)).T
    named = mean + white @ np.linalg.cholesky(covariance).T
    fitted = xr.Dataset({name: (("chain", "draw"), named[None, :, i]) for i, name in enumerate("ab")})
    return xr.DataTree.from_dict({"posterior": fitted})


LEARNERS = {
    "joint": fl.Joint(fl.ExtendedKalman()),
    "recursive": fl.RecursiveMaximumLikelihood(fl.Kalman(), fl.natural_gradient()),
    "joint particle": fl.Joint(fl.ParticleFilter(4000)),
    "nested": fl.Nested(fl.Kalman(), 4000, move=None),
}


@pytest.mark.parametrize("name", LEARNERS)
def test_half_fitted_and_half_streamed_are_the_whole(name):
    """The Gaussian learners to rounding; the clouds within five standard errors of weighted draws."""
    data = series(1)
    precision = np.eye(2) + INPUTS[:6].T @ INPUTS[:6] / NOISE
    mean = np.linalg.solve(precision, INPUTS[:6].T @ np.asarray(data.values)[:6, 0] / NOISE)
    family = fl.informed(FAMILY, posterior(mean, np.linalg.inv(precision)))
    rest = fl.Dataset(data.times[6:], data.values[6:], data.inputs[6:])
    last = fl.run(LEARNERS[name], family, rest, key=jax.random.key(0)).last.parameters
    whole, covariance, _ = exact(data)
    far, sds = last.mean - whole, np.sqrt(np.diag(covariance))
    if name in ("joint", "recursive"):
        np.testing.assert_allclose(far, 0, atol=1e-9)
        np.testing.assert_allclose(last.covariance, covariance, rtol=1e-9)
    else:
        assert (abs(far) < 5 * sds / 20).all()  # a tenth of the draws tell, at the least


def test_a_low_rank_learner_starts_from_the_variances():
    covariance = np.array([[0.5, 0.2], [0.2, 0.3]])
    family = fl.informed(FAMILY, posterior(np.array([1.0, -1.0]), covariance))
    start = fl.LowRank(fl.ExtendedKalman(), 2).init(family).parameters
    np.testing.assert_allclose(start.mean, [1.0, -1.0], atol=1e-9)
    np.testing.assert_allclose(jnp.diag(start.covariance), np.diag(covariance), rtol=1e-9)


def test_what_was_not_drawn_starts_from_the_prior_and_what_is_held_is_gone():
    tree = posterior(np.array([1.0, 5.0]), np.diag([0.01, 0.01]))
    tree["posterior"] = tree["posterior"].dataset[["a"]]
    family = fl.informed(FAMILY, tree)
    np.testing.assert_allclose(family.start.mean, [1.0, 0.0], atol=5 / 4000**0.5)
    np.testing.assert_allclose(family.start.variance, [0.01, 1.0], rtol=5 * (2 / 4000) ** 0.5)
    assert family.hold({"b": 0.0}).start.mean.shape == (1,)


def test_wrong_draws_are_refused():
    tree = posterior(np.zeros(2), np.eye(2))
    other = fl.ModelFamily(FAMILY.build, {"c": fl.Parameter(dist.Normal(0.0, 1.0))})
    with pytest.raises(ValueError, match=r"tree: its posterior has \['a', 'b'\], and the family \['c'\]"):
        fl.informed(other, tree)
    wide = fl.ModelFamily(FAMILY.build, {"a": fl.Parameter(dist.Normal(jnp.zeros(3), 1.0))})
    with pytest.raises(ValueError, match=r"tree: 'a' of shape \(3,\) is needed, got \(\)"):
        fl.informed(wide, tree)
    with pytest.raises(ValueError, match=r"draws: shape \(n, 2\)"):
        FAMILY.started(np.zeros((5, 3)))
    with pytest.raises(ValueError, match="draws: every entry must be finite"):
        FAMILY.started(np.full((5, 2), np.nan))
    learner = fl.Nested(fl.Kalman(), 10, fl.Rejuvenation(4, inputs=np.zeros(2)))
    with pytest.raises(ValueError, match="family: Rejuvenation moves towards prior times likelihood"):
        learner.init(FAMILY.started(np.eye(2)), key=jax.random.key(0))
