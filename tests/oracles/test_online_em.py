"""Online EM: what it recollects, its scores and its maximum against exact ones."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest

import filterlearn as fl
from filterlearn.numerics.quadratic import averaged, second_moment
from tests.oracles.dense import joint_sensors, joint_states

STILL = 1e-12  # a gain that lets theta stay where it is


def lower(values):
    """A lower triangle."""
    return jnp.zeros((2, 2), values.dtype).at[jnp.tril_indices(2)].set(values)


def build(p):
    """Two states and two sensors."""
    noise, seen = (lower(p[name]) @ lower(p[name]).T for name in ("noise", "sensors"))
    start = fl.Gaussian([1.0, -1.0], [[0.5, 0.1], [0.1, 0.4]], time=0.0)
    step = fl.LinearDiscrete(p["matrix"], noise, p["offset"])
    return fl.StateSpaceModel(start, step, fl.LinearGaussianObservation([[1.0, 0.5], [0.0, 1.0]], seen, p["level"]))


CENTRES = {
    "matrix": [[0.8, 0.3], [-0.2, 0.6]],
    "offset": [0.1, 0.2],
    "noise": [0.5, 0.2, 0.4],
    "sensors": [0.5, 0.1, 0.4],
    "level": [0.3, -0.2],
}


def family(sd):
    """All is unknown but the matrix of the sensors and the start."""
    return fl.ModelFamily(build, {name: fl.Parameter(dist.Normal(jnp.array(c), sd)) for name, c in CENTRES.items()})


@functools.cache
def data(length=40):
    """Irregular times, one of them twice, a fifth of the entries missing, a row of them too."""
    rng = np.random.default_rng(3)
    times = np.cumsum(rng.uniform(0.1, 2.0, length))
    times[10] = times[9]
    values = fl.simulate(family(1.0)(family(1.0).median), times, key=jax.random.key(3))[1]
    values = np.where(rng.uniform(size=values.shape) < 0.2, np.nan, values)
    values[5] = np.nan
    return fl.Dataset(times, values)


@functools.cache
def learned(gain, sd):
    """The run of all; one trace for every gain."""
    return fl.run(fl.OnlineEM(fl.Kalman(), jnp.asarray(gain), 20), family(sd), data())


def recollected(belief):
    """E w w' and E v v' given all the data, weighed as the learner weighs them."""
    now = second_moment(belief.state.mean, belief.state.covariance)
    return tuple(np.asarray(averaged(each, now)) for each in (belief.past.moved, belief.past.seen))


def outer(mean, covariance):
    """E z z' of z = (x, 1)."""
    one = np.append(mean, 1.0)
    return np.outer(one, one) + np.pad(covariance, (0, 1))


def test_the_means_are_those_of_the_dense_smoother():
    """The sums of the products of (x_k-1, x_k, 1) over the steps and of (x_k, y_k, 1) over the data, given all the data, y
    being completed: 1e-9 of the largest is the rounding of the dense solves, and of the gain."""
    model, n = family(1.0)(family(1.0).median).resolve(), len(data())
    (prior, joint), (h, r, y) = joint_states(model, data()), joint_sensors(model, data())
    start, covariance = np.asarray(model.initial.mean), np.asarray(model.initial.covariance)
    a, b, q = (np.asarray(part) for part in (model.transition.matrix, model.transition.offset, model.transition.noise))
    # (x_0, x_1..T, y_1..T), of one joint law
    first = np.concatenate([covariance] + [np.linalg.matrix_power(a, k) @ covariance for k in steps_before()])
    states = np.block([[covariance, first[2:].T], [first[2:], joint]])
    means = np.concatenate([start, prior])
    wide = np.pad(h, ((0, 0), (2, 0)))
    whole = np.block([[states, states @ wide.T], [wide @ states, wide @ states @ wide.T + r]])
    everything = np.concatenate([means, h @ prior])
    known = 2 + 2 * n + np.flatnonzero(~np.isnan(y))
    gain = np.linalg.solve(whole[np.ix_(known, known)], whole[known]).T
    mean = everything + gain @ (y[known - 2 - 2 * n] - everything[known])
    covariance = whole - gain @ whole[known]
    mean[2 + 2 * n :] += np.tile(np.asarray(model.observation.offset), n)

    def product(places):
        return outer(mean[places], covariance[np.ix_(places, places)])

    times = np.append(0.0, data().times)
    moved = sum(product(np.arange(2 * k, 2 * k + 4)) for k in range(n) if times[k + 1] > times[k])
    rows = [k for k in range(n) if not np.isnan(data().values[k]).all()]
    seen = sum(product(np.r_[2 * k + 2 : 2 * k + 4, 2 * n + 2 + 2 * k : 2 * n + 4 + 2 * k]) for k in rows)
    for ours, exact in zip(recollected(learned(STILL, 1.0).last), (moved, seen), strict=True):
        np.testing.assert_allclose(ours / STILL, exact, atol=1e-9 * abs(exact).max())


def steps_before():
    """How many steps the state has made up to each datum."""
    return np.cumsum(np.diff(np.append(0.0, data().times)) > 0)


def test_scores_are_exact_at_a_frozen_theta():
    """The information is the sum of s s', s the derivative of each log p(y_k | y_1..k-1)."""
    still = family(1.0)
    slopes = jax.jacfwd(lambda theta: fl.run(fl.Kalman(), still(theta), data(), save=lambda _, info: info.log_evidence).saved)
    exact = np.asarray(slopes(still.median))
    ours = np.linalg.inv(learned(STILL, 1.0).last.parameters.covariance) - np.eye(still.size)
    np.testing.assert_allclose(ours, exact.T @ exact, rtol=1e-7, atol=1e-7 * np.max(abs(exact.T @ exact)))


def test_theta_is_the_maximum():
    """Regression on the products gives matrix, offset and noise; level and sensors likewise."""
    last = learned(0.05, 1e5).last
    moved, seen = recollected(last)
    values = family(1e5).constrain(last.parameters.mean)
    before, after = [0, 1, 4], [2, 3]
    slope = np.linalg.solve(moved[np.ix_(before, before)], moved[np.ix_(before, after)]).T
    noise = (moved[np.ix_(after, after)] - slope @ moved[np.ix_(before, after)]) / moved[4, 4]
    np.testing.assert_allclose(np.column_stack([values["matrix"], values["offset"]]), slope, atol=1e-6)
    model = family(1e5)(last.parameters.mean).resolve()
    np.testing.assert_allclose(model.transition.noise, noise, atol=1e-6)
    rows = np.column_stack([-np.asarray(model.observation.matrix), np.eye(2), -seen[4, 2:4] / seen[4, 4]])
    rows[:, 4] += np.asarray(model.observation.matrix) @ seen[4, :2] / seen[4, 4]
    np.testing.assert_allclose(model.observation.covariance, rows @ seen @ rows.T / seen[4, 4], atol=1e-6)
    np.testing.assert_allclose(model.observation.offset, -rows[:, 4], atol=1e-6)


def nile():
    """The volume of the Nile, and a local level with both variances unknown and nothing known of the start."""

    def build(p):
        level, seen = jnp.exp(p["level"])[None, None], jnp.exp(p["seen"])[None, None]
        step = fl.LinearDiscrete([[1.0]], level)
        return fl.StateSpaceModel(fl.Gaussian([0.0], 1e9), step, fl.LinearGaussianObservation([[1.0]], seen))

    volume = pytest.importorskip("statsmodels.datasets").nile.load_pandas().data["volume"].to_numpy()
    return build, fl.Dataset(np.arange(100.0), volume)


def test_the_nile_at_its_maximum_likelihood_stays_there():
    """EM's step from the known maximum (Durbin & Koopman 2012, section 2.10) leads to it: five digits were published."""
    build, volume = nile()
    best = {"seen": np.log(15098.52), "level": np.log(1469.176)}
    still = fl.ModelFamily(build, {name: fl.Parameter(dist.Normal(value, 1.0)) for name, value in best.items()})
    moved, seen = recollected(fl.run(fl.OnlineEM(fl.Kalman(), STILL), still, volume).last)
    step, error = np.array([-1.0, 1.0, 0.0]), np.array([1.0, -1.0, 0.0])
    np.testing.assert_allclose(step @ moved @ step / moved[2, 2], 1469.176, rtol=1e-6)
    np.testing.assert_allclose(error @ seen @ error / seen[2, 2], 15098.52, rtol=1e-6)
