"""KalmanNet against the Kalman filter, whose gain a network may happen to give."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats
from scipy.linalg import solve_discrete_are

import filterlearn as fl

F, H = np.array([[1.0, 1.0], [0.0, 0.9]]), np.array([[1.0, 0.2], [0.1, 1.0], [0.5, -0.5]])
Q, R = np.array([[0.3, 0.1], [0.1, 0.2]]), np.diag([0.5, 0.3, 0.4]) + 0.1
STEADY = solve_discrete_are(F.T, H.T, Q, R)  # the predicted covariance
GAIN = STEADY @ H.T @ np.linalg.inv(H @ STEADY @ H.T + R)
DATA = fl.Dataset(np.arange(1.0, 31.0), np.random.default_rng(3).normal(size=(30, 3)))


class Steady(eqx.Module):
    """A network that has learned the steady gain."""

    gain: jax.Array
    states: int = 2
    sensors: int = 3

    def start(self):
        return jnp.zeros(1)

    def __call__(self, memory, features):
        return memory + jnp.sum(features**2), self.gain


def model(noise=Q):
    after = STEADY - GAIN @ H @ STEADY  # so that the first prediction is steady
    start = fl.Gaussian([0.3, -0.2], after, time=0.0)
    return fl.StateSpaceModel(start, fl.LinearDiscrete(F, noise), fl.LinearGaussianObservation(H, R))


@pytest.mark.parametrize("head", [None, lambda memory: jnp.asarray(np.linalg.cholesky(STEADY)).ravel()], ids=["gain", "head"])
def test_with_the_optimal_gain_it_is_the_kalman_filter(head):
    """Means, covariances and the evidence; whatever noise the model's transition has, for the gain says it all."""
    ours = fl.run(fl.KalmanNet(fl.ExtendedKalman(), Steady(jnp.asarray(GAIN)), head), model(3 * Q), DATA)
    theirs = fl.run(fl.Kalman(), model(), DATA)
    np.testing.assert_allclose(ours.beliefs.now.mean, theirs.beliefs.mean, atol=1e-10)
    np.testing.assert_allclose(ours.beliefs.now.covariance, theirs.beliefs.covariance, atol=1e-10)
    np.testing.assert_allclose(ours.log_evidence, theirs.log_evidence, atol=1e-9)
    np.testing.assert_allclose(ours.info.pit, theirs.info.pit, atol=1e-10)


def test_any_gain_has_a_covariance_and_missing_entries_change_nothing():
    """An absurd gain gives a positive semidefinite covariance; a row of NaN leaves the memory as it was."""
    network = fl.GainNetwork(2, 3, width=4, key=jax.random.key(0))
    wild = eqx.tree_at(lambda n: n.last.bias, network, 3 * jax.random.normal(jax.random.key(1), (6,)))
    values = np.array(DATA.values)
    values[3], values[5, 1] = np.nan, np.nan
    filter = fl.KalmanNet(fl.ExtendedKalman(), wild)
    found = fl.run(filter, model(), fl.Dataset(DATA.times, values))
    assert np.linalg.eigvalsh(np.asarray(found.beliefs.now.covariance)).min() > -1e-12
    for before, after in zip(*(jax.tree.leaves(found.beliefs.memory.network[k : k + 1]) for k in (2, 3)), strict=True):
        np.testing.assert_array_equal(before, after)
    assert found.log_evidence[3] == 0
    belief = filter.init(model())
    for k in range(7):
        belief, info = fl.step(filter, model(), belief, fl.Dataset(DATA.times, values).datum(k))
        np.testing.assert_allclose(info.log_evidence, found.log_evidence[k], rtol=1e-12)


def test_too_few_sensors_need_a_head():
    with pytest.raises(TypeError, match="head: 1 sensors of 2 states"):
        fl.KalmanNet(fl.ExtendedKalman(), fl.GainNetwork(2, 1, key=jax.random.key(0)))
    with pytest.raises(TypeError, match="filter: one with Gaussian beliefs"):
        fl.KalmanNet(fl.ParticleFilter(5), Steady(jnp.asarray(GAIN))).init(model(), key=jax.random.key(0))


def test_what_is_trained_on_is_the_error_and_the_density_of_the_states():
    """By hand, with a state that is partly unknown."""
    states = np.random.default_rng(5).normal(size=(30, 2))
    states[4, 1] = np.nan
    found = fl.run(fl.Kalman(), model(), DATA)
    mean, covariance = np.asarray(found.beliefs.mean), np.asarray(found.beliefs.covariance)
    error = fl.StateError(model()).loss(fl.Kalman(), (DATA, jnp.asarray(states)), None)
    np.testing.assert_allclose(error, np.nanmean((mean - states) ** 2), rtol=1e-12)
    known = [slice(0, 1) if k == 4 else slice(0, 2) for k in range(30)]
    told = [stats.multivariate_normal.logpdf(states[k, s], mean[k, s], covariance[k, s, s]) for k, s in enumerate(known)]
    density = fl.StateDensity(model()).loss(fl.Kalman(), (DATA, jnp.asarray(states)), None)
    np.testing.assert_allclose(density, -np.mean(told), rtol=1e-10)


def test_training_on_states_lowers_their_error():
    """20 short series: from a gain of nearly 0 to half of the way to the Kalman filter."""
    keys = jax.random.split(jax.random.key(2), 20)
    states, values = jax.vmap(lambda k: fl.simulate(model(), jnp.arange(1.0, 11.0), key=k))(keys)
    series = jax.vmap(lambda y: fl.Dataset(jnp.arange(1.0, 11.0), y))(values), states
    start = fl.KalmanNet(fl.ExtendedKalman(), fl.GainNetwork(2, 3, width=8, key=jax.random.key(3)))
    trained = fl.train(fl.StateError(model()), start, series, steps=60, key=jax.random.key(4))
    best = jax.vmap(lambda s, x: fl.StateError(model()).loss(fl.Kalman(), (s, x), None))(*series).mean()
    assert trained.losses[-1] < (trained.losses[0] + best) / 2
