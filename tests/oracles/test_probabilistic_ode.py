"""An ordinary equation, data and what moves it solved by one extended Kalman filter: the state and its derivatives are an
integrated Brownian motion, and the equation is a datum without noise (Schmidt, Kraemer & Hennig 2021, arXiv:2103.10153)."""

import jax.numpy as jnp
import numpy as np

import filterlearn as fl

CHAIN = np.eye(3, k=1)  # x, x', x''
ROUGH = np.array([[0.0], [0.0], [1.0]])


def logistic(level):
    """Of x(0) = .1, x' = 2 x (1 - x)."""
    return 1 / (1 + (1 / 0.1 - 1) * np.exp(-2 * level))


def test_the_solution_converges_with_its_order():
    """Twice integrated: order 2 or better for x at the end, and the truth is within five of its own standard deviations."""
    field = lambda x: 2 * x * (1 - x)  # noqa: E731
    seen = fl.GaussianObservation(lambda t, x, u: x[1:2] - field(x[:1]), np.zeros((1, 1)))
    slope = field(0.1)
    start = fl.Gaussian([0.1, slope, 2 * slope * (1 - 2 * 0.1)], 0.0, time=0.0)
    model = fl.StateSpaceModel(start, fl.LinearSDE(CHAIN, ROUGH), seen)
    errors = []
    for steps in (16, 32, 64):
        data = fl.Dataset(2.0 * np.arange(1, steps + 1) / steps, np.zeros(steps))
        last = fl.run(fl.ExtendedKalman(), model, data).last
        errors.append(abs(float(last.mean[0]) - logistic(2.0)))
        assert errors[-1] < 5 * float(last.covariance[0, 0]) ** 0.5
    assert (np.log2(np.divide(errors[:-1], errors[1:])) > 1.8).all()


def test_a_rate_that_moves_is_learned_beside_the_solution():
    """x' = -r(t) x with log r an integrated Brownian motion, the equation imposed at 160 times and x seen at 40 of them with
    noise of 1 %: r = 1 + .5 sin t within five hundredths on average, and within three standard deviations at 90 % of them."""
    times = np.arange(1, 161) / 20
    truth = np.exp(-(times + 0.5 * (1 - np.cos(times))))
    noise = np.random.default_rng(0).normal(size=160)
    values = np.stack([np.zeros(160), np.where(np.arange(160) % 4 == 3, np.log(truth) + 0.01 * noise, np.nan)], axis=1)
    a = np.zeros((5, 5))
    a[:3, :3], a[3, 4] = CHAIN, 1.0
    rough = np.zeros((5, 2))
    rough[2, 0], rough[4, 1] = 1.0, 0.5
    seen = fl.GaussianObservation(  # of the logarithm of x, whose derivative is -r
        lambda t, x, u: jnp.stack([x[1] + jnp.exp(x[3]), x[0]]), np.diag([0.0, 1e-4])
    )
    start = fl.Gaussian([0.0, -1.0, 0.0, 0.0, 0.0], np.diag([0.0, 1.0, 1.0, 1.0, 1.0]), time=0.0)
    model = fl.StateSpaceModel(start, fl.LinearSDE(a, rough), seen)
    found = fl.smooth(
        fl.RauchTungStriebel(fl.ExtendedKalman()), model, fl.run(fl.ExtendedKalman(), model, fl.Dataset(times, values))
    )
    off = np.asarray(found.mean[:, 3]) - np.log(1 + 0.5 * np.sin(times))
    assert np.sqrt(np.mean(off**2)) < 0.05
    assert np.mean(np.abs(off) < 3 * np.sqrt(np.asarray(found.covariance[:, 3, 3]))) > 0.9
