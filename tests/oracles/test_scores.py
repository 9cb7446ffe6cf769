"""Scores against closed forms, on data of a linear-Gaussian model."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import norm

import filterlearn as fl
from filterlearn.diagnostics.findings import findings
from tests.cases import hidden_family, linear_model
from tests.oracles.dense import joint_sensors, joint_states

T, N = 400, 400
MODEL = linear_model()


@pytest.fixture(scope="module")
def world():
    """(data with a fifth missing, true states, trajectory, draws of what was predicted)."""
    rng = np.random.default_rng(3)
    times = np.cumsum(rng.uniform(0.05, 0.6, T))
    states, values = fl.simulate(MODEL, times, key=jax.random.key(1))
    values = np.where(rng.uniform(size=values.shape) < 0.2, np.nan, values)
    values[5] = np.nan
    trajectory = fl.run(fl.Kalman(), MODEL, fl.Dataset(times, values))
    return values, states, trajectory, fl.predictions(fl.Kalman(), MODEL, trajectory, key=jax.random.key(2), draws=N)


@pytest.fixture(scope="module")
def scored(world):
    return fl.predictive_scores(world[2], world[3])


def test_a_gaussian_prediction_is_scored_in_closed_form(world):
    values, _, trajectory, _ = world
    out = fl.predictive_scores(trajectory)
    mean, variance = map(np.asarray, trajectory.info.predicted)
    np.testing.assert_allclose(out["innovation"], (values - mean) / np.sqrt(variance), rtol=1e-7)
    assert np.isnan(out["log_score"][5])
    k, i = np.argwhere(~np.isnan(values))[7]
    z, sd = np.linspace(-15, 15, 60_001), variance[k, i] ** 0.5
    integral = np.sum((norm.cdf(z, mean[k, i], sd) - (values[k, i] <= z)) ** 2) * (z[1] - z[0])
    assert out["crps"][k, i] == pytest.approx(integral, abs=5e-4)  # the grid's spacing
    level = np.abs(values - mean) <= norm.ppf(0.95) * np.sqrt(variance)
    np.testing.assert_array_equal(out["inside"].sel(inside_level=0.9), np.where(np.isnan(values), np.nan, level))
    xr_equal = fl.predictive_scores(fl.to_datatree(trajectory))
    np.testing.assert_array_equal(xr_equal["nis"], out["nis"])


def test_scores_by_draws_agree_with_the_closed_form(world, scored):
    """The error of a fair estimate from N draws averages out over the data: within five of the standard errors seen."""
    error = (scored["crps"] - fl.predictive_scores(world[2])["crps"]).to_numpy().ravel()
    error = error[~np.isnan(error)]
    assert abs(error.mean()) < 5 * error.std() / len(error) ** 0.5
    alone = np.isnan(world[0]).sum(axis=1) == 1  # of one sensor the energy score is the CRPS
    np.testing.assert_allclose(scored["energy"][alone], scored["crps"][alone].sum("sensor"), rtol=1e-9)


def test_all_sensors_together_are_normalised_by_their_covariance(world, scored):
    """Against e' S^-1 e of the dense joint Gaussian at three data; on average the number of sensors."""
    values, _, trajectory, _ = world
    small = fl.Dataset(trajectory.data.times[:20], values[:20])
    (prior, joint), (h, r, y) = joint_states(MODEL, small), joint_sensors(MODEL, small)
    cross = h @ joint @ h.T + r
    for k in np.flatnonzero(~np.isnan(values[:20]).any(axis=1))[-3:]:
        past, now = np.flatnonzero(~np.isnan(y[: 2 * k])), np.array([2 * k, 2 * k + 1])
        gain = np.linalg.solve(cross[np.ix_(past, past)], cross[np.ix_(past, now)]).T
        error = (y - h @ prior)[now] - gain @ (y - h @ prior)[past]
        spread = cross[np.ix_(now, now)] - gain @ cross[np.ix_(past, now)]
        exact = error @ np.linalg.solve(spread, error)
        # of draws: relative sd (2 / N)^.5 of the covariance, and the mean's (4 exact / N)^.5
        assert scored["joint_nis"][k] == pytest.approx(exact, abs=5 * (exact * (2 / N) ** 0.5 + (4 * exact / N) ** 0.5))
    degrees = (~np.isnan(values)).sum(axis=1)
    assert fl.consistency(scored["joint_nis"], degrees).words == ""
    assert fl.consistency(scored["nis"]).words == ""


def test_predictions_of_a_learner_have_its_moments():
    family, times = hidden_family(), np.arange(1.0, 9.0)
    data = fl.Dataset(times, np.random.default_rng(0).normal(size=(8, 2)), np.random.default_rng(1).normal(size=(8, 2)))
    learner = fl.Joint(fl.ExtendedKalman())
    trajectory = fl.run(learner, family, data)
    drawn = fl.predictions(learner, family, trajectory, key=jax.random.key(0), draws=4000)
    mean, variance = trajectory.info.predicted
    np.testing.assert_array_less(jnp.abs(drawn.mean(axis=1) - mean), 5 * jnp.sqrt(variance / 4000))
    np.testing.assert_allclose(drawn.var(axis=1), variance, rtol=5 * (2 / 4000) ** 0.5)


def wrong(scale):
    """The model with its observation noise scaled."""
    return eqx.tree_at(lambda m: m.observation.covariance, MODEL, scale * MODEL.observation.covariance)


@pytest.mark.parametrize(("scale", "word"), [(0.1, "overconfident"), (1.0, ""), (10.0, "underconfident")])
def test_a_wrong_noise_is_told_by_innovations_and_by_errors(world, scale, word):
    _, states, trajectory, _ = world
    off = fl.run(fl.Kalman(), wrong(scale), trajectory.data)
    rows = [row for row in findings(fl.to_datatree(off)).rows if row[1].startswith("NIS")]
    assert [word in row[2] for row in rows] == [True] * (2 if word else 0)
    words = fl.consistency(fl.nees(off.beliefs, states)[4::5], 2).words  # nearly independent, 1.6 units of time apart
    assert ("overconfident" in words) == (scale < 1)


def test_errors_of_the_size_that_a_belief_says_are_chi_squared(world):
    beliefs = world[2].beliefs
    drawn = jax.vmap(lambda b, k: b.sample(1, key=k)[0])(beliefs, jax.random.split(jax.random.key(0), T))
    found = fl.consistency(fl.nees(beliefs, drawn), 2)
    assert found.words == ""
    assert found.high - 1 == pytest.approx(3.29 * (2 / (2 * T)) ** 0.5, rel=0.1)
    flat = jax.vmap(lambda b: b.with_moments(b.mean, b.covariance.at[1].set(0.0).at[:, 1].set(0.0)))(beliefs)
    plain = (drawn - beliefs.mean)[:, 0] ** 2 / beliefs.covariance[:, 0, 0]
    np.testing.assert_allclose(fl.nees(flat, drawn.at[:, 1].set(beliefs.mean[:, 1])), plain, rtol=1e-9)


def test_correlated_innovations_are_told(world):
    """A random walk believed to be seen with much noise lags behind."""
    walk = np.cumsum(np.random.default_rng(0).normal(size=300))
    model = fl.StateSpaceModel(
        fl.Gaussian([0.0], 1.0, time=0.0),
        fl.LinearDiscrete([[1.0]], [[0.01]]),
        fl.LinearGaussianObservation([[1.0]], [[1.0]]),
    )
    rows = findings(fl.to_datatree(fl.run(fl.Kalman(), model, fl.Dataset(np.arange(300.0), walk)))).rows
    assert any("correlated" in row[1] for row in rows)


def test_ranks_among_predictions_are_uniform_and_ties_broken_at_random(world):
    values, _, _, drawn = world
    found = fl.ranks(drawn[:, :19], jnp.asarray(values), key=jax.random.key(0))
    assert (np.asarray(found == -1) == np.isnan(values)).all()
    assert (fl.uniformity(found, 19) > 0.001).all()
    assert (fl.uniformity(fl.ranks(2 * drawn[:, :19], jnp.asarray(values), key=jax.random.key(0)), 19) < 1e-6).all()
    same = fl.ranks(jnp.zeros((4000, 9, 1)), jnp.zeros((4000, 1)), key=jax.random.key(1))
    assert fl.uniformity(same, 9)[0] > 0.001
    assert np.isnan(fl.uniformity(found[:15, 0], 19))
