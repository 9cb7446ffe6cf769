"""The step-size check speaks when it must."""

import warnings

import jax
import jax.numpy as jnp
import pytest

import filterlearn as fl
from tests.cases import linear_data, linear_model


def lorenz(scheme, steps):
    """Lorenz-63, the first coordinate observed."""

    def drift(t, x, u):
        return jnp.array([10 * (x[1] - x[0]), x[0] * (28 - x[2]) - x[1], x[0] * x[1] - 8 / 3 * x[2]])

    seen = fl.LinearGaussianObservation([[1.0, 0.0, 0.0]], [[1.0]])
    start = fl.Gaussian([1.5, -1.5, 25.0], 1.0, time=0.0)
    return fl.StateSpaceModel(start, scheme(fl.SDE(drift, jnp.ones(3)), steps=steps), seen)


def test_coarse_euler_warns_and_runge_kutta_does_not():
    times = 0.05 * jnp.arange(1, 101)
    _, values = fl.simulate(lorenz(fl.RungeKutta, 32), times, key=jax.random.key(0))
    data = fl.Dataset(times, values)
    with pytest.warns(UserWarning, match="steps=1 is too coarse"):
        coarse = fl.check_step_size(fl.ExtendedKalman(), lorenz(fl.EulerMaruyama, 1), data)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fine = fl.check_step_size(fl.ExtendedKalman(), lorenz(fl.RungeKutta, 16), data)
    assert abs(coarse.change) > 1 >= abs(fine.change)


def test_an_exact_transition_is_refused():
    with pytest.raises(TypeError, match="problem"):
        fl.check_step_size(fl.Kalman(), linear_model(), linear_data(12))
