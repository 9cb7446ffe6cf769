"""The step-size check speaks when it must."""

import warnings

import jax
import jax.numpy as jnp
import numpyro.distributions as dist
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


def test_a_filter_that_draws_is_judged_beyond_its_noise():
    """The change of a particle filter is that of the extended filter, which is nearly exact here, within its own errors; with
    too few particles it says that it cannot tell."""
    times = 0.3 * jnp.arange(1, 41)

    def stiff(steps):
        sde = fl.SDE(lambda t, x, u: -4.0 * x, jnp.array([1.0]))
        seen = fl.LinearGaussianObservation([[1.0]], [[0.05]])
        return fl.StateSpaceModel(fl.Gaussian([0.0], 0.1, time=0.0), fl.EulerMaruyama(sde, steps=steps), seen)

    data = fl.Dataset(times, fl.simulate(stiff(32), times, key=jax.random.key(0))[1])
    key = jax.random.key(1)
    with pytest.warns(UserWarning, match="steps=1 is too coarse"):
        exact = fl.check_step_size(fl.ExtendedKalman(), stiff(1), data, key=key)
    with pytest.warns(UserWarning, match="steps=1 is too coarse"):
        drawn = fl.check_step_size(fl.ParticleFilter(200), stiff(1), data, key=key)
    assert exact.error == 0 < drawn.error
    # the mean of the logs is low by half their variance, which is below drawn.error^2 x 32
    assert abs(drawn.change - exact.change) < 5 * drawn.error + 16 * drawn.error**2
    with pytest.warns(UserWarning, match=r"steps=16 is not judged.*larger size"):
        fl.check_step_size(fl.ParticleFilter(5), stiff(16), data, key=key)


def test_a_family_is_judged_for_its_learner():
    def build(p):
        sde = fl.SDE(lambda t, x, u: -p["rate"] * x, jnp.array([1.0]))
        seen = fl.LinearGaussianObservation([[1.0]], [[0.1]])
        return fl.StateSpaceModel(fl.Gaussian([0.0], 1.0, time=0.0), fl.EulerMaruyama(sde, steps=1), seen)

    family = fl.ModelFamily(build, {"rate": fl.Parameter(dist.LogNormal(1.4, 0.1), fl.RandomWalk(0.01))})
    times = 0.3 * jnp.arange(1.0, 41.0)
    data = fl.Dataset(times, jnp.sin(times))
    learner = fl.Joint(fl.ExtendedKalman())
    with pytest.warns(UserWarning, match="steps=1 is too coarse"):
        whole = fl.check_step_size(learner, family, data)
    assert whole.coarse == pytest.approx(float(fl.log_evidence(learner, family, data)), rel=1e-12)
