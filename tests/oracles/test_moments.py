"""Moment equations against laws whose moments are known."""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest

import filterlearn as fl

RULES = {"unscented": fl.Unscented(), "cubature": fl.Cubature(), "gauss_hermite": fl.GaussHermite(2)}
SEEN = fl.LinearGaussianObservation([[1.0]], [[1.0]])


def predicted(algorithm, transition, start, time=1.0):
    model = fl.StateSpaceModel(start, transition, SEEN)
    return algorithm.predict(model, algorithm.init(model), jnp.asarray(time))


@pytest.mark.parametrize("rule", RULES)
def test_geometric_brownian_motion(rule):
    """A3: dx = .8 x dW from 1 has mean 1 and variance exp(.64) - 1 = .89648 at t = 1, by 1e-6."""
    sde = fl.SDE(lambda t, x, u: 0 * x, lambda t, x, u: 0.8 * x)
    belief = predicted(fl.SigmaPoint(RULES[rule]), fl.EulerMaruyama(sde, steps=8), fl.Gaussian([1.0], 0.0, time=0.0))
    np.testing.assert_allclose(belief.mean, [1.0], atol=1e-12)
    np.testing.assert_allclose(belief.covariance, [[np.expm1(0.64)]], atol=1e-6)


def test_the_moment_equations_have_order_four():
    """Halving the step of the variance of geometric Brownian motion divides the error by about 16."""
    sde = fl.SDE(lambda t, x, u: 0.3 * x, lambda t, x, u: 0.8 * x)
    exact = np.exp(0.6) * np.expm1(0.64)
    errors = [
        float(predicted(fl.SigmaPoint(), fl.EulerMaruyama(sde, steps=n), fl.Gaussian([1.0], 0.0, time=0.0)).covariance[0, 0])
        - exact
        for n in (2, 4, 8)
    ]
    assert 12 < errors[0] / errors[1] < 20
    assert 12 < errors[1] / errors[2] < 20


def test_jumps_enter_by_their_moments():
    """A10 (b): an Ornstein-Uhlenbeck process with jumps settles at l m / k and (s^2 + l (m^2 + d^2)) / (2 k); at a rate that
    depends on the state, dx = -k x dt + jumps at rate a + b x has mean a m / (k - b m)."""
    k, s, rate, m, d = 0.7, 0.5, 1.5, 0.3, 0.2
    mark = dist.Normal(m, d)
    constant = fl.SDE(lambda t, x, u: -k * x, jnp.array([s]), fl.CompoundPoisson(rate, mark))
    belief = predicted(fl.SigmaPoint(), fl.EulerMaruyama(constant, steps=400), fl.Gaussian([0.0], 1.0, time=0.0), 40.0)
    np.testing.assert_allclose(belief.mean, [rate * m / k], rtol=1e-8)
    np.testing.assert_allclose(belief.covariance, [[(s**2 + rate * (m**2 + d**2)) / (2 * k)]], rtol=1e-8)
    rising = fl.SDE(lambda t, x, u: -k * x, jnp.array([s]), fl.CompoundPoisson(lambda t, x, u: rate + 0.4 * x[0], mark))
    belief = predicted(fl.SigmaPoint(), fl.EulerMaruyama(rising, steps=400), fl.Gaussian([0.0], 1.0, time=0.0), 60.0)
    mean, pull = rate * m / (k - 0.4 * m), k - 0.4 * m
    np.testing.assert_allclose(belief.mean, [mean], rtol=1e-8)
    spread = (s**2 + (rate + 0.4 * mean) * (m**2 + d**2)) / (2 * pull)
    np.testing.assert_allclose(belief.covariance, [[spread]], rtol=1e-8)


def test_a_square_is_seen_as_its_moments_say():
    """y = x^2 + e with x ~ N(1, .5): mean 1.5 and variance 4 x .5 + 2 x .25 + r are exact by Gauss-Hermite of order 3."""
    model = fl.StateSpaceModel(
        fl.Gaussian([1.0], 0.5, time=0.0),
        fl.LinearDiscrete([[1.0]], [[0.0]]),
        fl.GaussianObservation(lambda t, x, u: x**2, jnp.array([[0.1]])),
    )
    algorithm = fl.SigmaPoint(fl.GaussHermite(3))
    after, info = algorithm.update(model, algorithm.init(model), fl.Datum(0.0, [2.0]))
    np.testing.assert_allclose(info.predicted[0], [1.5], atol=1e-12)
    np.testing.assert_allclose(info.predicted[1], [2.6], atol=1e-12)
    gain = 2 * 0.5 / 2.6
    np.testing.assert_allclose(after.mean, [1 + gain * 0.5], atol=1e-12)
    np.testing.assert_allclose(after.covariance, [[0.5 - gain**2 * 2.6]], atol=1e-12)


def test_posterior_linearisation_settles_where_its_own_fit_lies():
    """The fixed point: the update from the prior with the fit at the answer gives the answer."""
    model = fl.StateSpaceModel(
        fl.Gaussian([1.0], 0.3, time=0.0),
        fl.LinearDiscrete([[1.0]], [[0.0]]),
        fl.GaussianObservation(lambda t, x, u: jnp.exp(x), jnp.array([[0.05]])),
    )
    answers = []
    for iterations in (1, 20, 21):
        algorithm = fl.SigmaPoint(fl.GaussHermite(8), iterations)
        after = algorithm.update(model, algorithm.init(model), fl.Datum(0.0, [6.0]))[0]
        answers.append((float(after.mean[0]), float(after.covariance[0, 0])))
    np.testing.assert_allclose(answers[1], answers[2], rtol=1e-6)
    grid = jnp.linspace(-1, 3, 4001)
    weights = jax.nn.softmax(-0.5 * (grid - 1) ** 2 / 0.3 - 0.5 * (6.0 - jnp.exp(grid)) ** 2 / 0.05)
    mean = weights @ grid
    variance = weights @ (grid - mean) ** 2
    assert abs(answers[1][0] - mean) < 0.1 * jnp.sqrt(variance) < abs(answers[0][0] - mean)
    assert abs(answers[1][1] / variance - 1) < 0.05 < abs(answers[0][1] / variance - 1)
