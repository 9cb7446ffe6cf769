"""Laws of smoothers."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import filterlearn as fl
from tests.cases import LINEAR_PROBLEMS, SMOOTHERS, linear_data, linear_model, regression_family
from tests.laws.test_learners import regression
from tests.oracles.dense import dense_smoother


def check_data_before_the_start_tell_nothing(smoother, algorithm, model, data):
    """As if they were missing, at the start."""
    late = eqx.tree_at(lambda m: m.initial.time, model, data.times[2])
    times, values = data.times.at[:2].set(data.times[2]), data.values.at[:2].set(jnp.nan)
    both = [
        fl.smooth(smoother, late, fl.run(algorithm, late, each))
        for each in (data, eqx.tree_at(lambda d: (d.times, d.values), data, (times, values)))
    ]
    np.testing.assert_allclose(*(out.mean for out in both), atol=1e-12)
    np.testing.assert_allclose(*(out.covariance for out in both), atol=1e-12)


@pytest.mark.parametrize("problem", LINEAR_PROBLEMS)
@pytest.mark.parametrize("name", SMOOTHERS)
def test_equals_the_dense_gaussian(name, problem):
    """Irregular and equal times, missing entries, inputs. The last belief is the filter's, and none is wider than its own."""
    (smoother, algorithm), (model, data) = SMOOTHERS[name](), (make() for make in LINEAR_PROBLEMS[problem])
    data = data[:60]
    filtered = fl.run(algorithm, model, data)
    found = fl.smooth(smoother, model, filtered)
    mean, covariance = dense_smoother(model, data)
    np.testing.assert_allclose(found.mean, mean, atol=1e-9)
    np.testing.assert_allclose(found.covariance, covariance, atol=1e-9)
    np.testing.assert_array_equal(found.mean[-1], filtered.mean[-1])
    check_data_before_the_start_tell_nothing(smoother, algorithm, model, data)
    lower = jax.vmap(jnp.diagonal)(found.covariance) <= jax.vmap(jnp.diagonal)(filtered.covariance) + 1e-12
    assert lower.all()


@pytest.mark.parametrize("name", SMOOTHERS)
def test_a_state_known_exactly_stays_known(name):
    """A singular covariance: the second state is a constant without noise, known at the start."""
    step = fl.LinearDiscrete([[0.9, 1.0], [0.0, 1.0]], [[0.1, 0.0], [0.0, 0.0]])
    seen = fl.LinearGaussianObservation([[1.0, 0.0]], [[0.2]])
    model = fl.StateSpaceModel(fl.Gaussian([0.0, 0.3], [[1.0, 0.0], [0.0, 0.0]], time=0.0), step, seen)
    data = fl.Dataset(np.arange(1.0, 21.0), np.random.default_rng(0).normal(size=20))
    smoother, algorithm = SMOOTHERS[name]()
    found = fl.smooth(smoother, model, fl.run(algorithm, model, data))
    np.testing.assert_allclose(found.mean[:, 1], 0.3, atol=1e-12)
    np.testing.assert_allclose(found.covariance[:, 1], 0.0, atol=1e-12)
    mean, covariance = dense_smoother(model, data)
    np.testing.assert_allclose(found.mean, mean, atol=1e-9)
    np.testing.assert_allclose(found.covariance, covariance, atol=1e-9)


def test_parameters_are_smoothed_with_the_state():
    """A moving regression: the smoothed coefficients are nearer the truth than the filtered, as their variances say."""
    data, theta = regression(1, 400)
    learner = fl.Joint(fl.ExtendedKalman())
    filtered = fl.run(learner, regression_family(), data)
    smoothed = fl.smooth(fl.RauchTungStriebel(learner), regression_family(), filtered)
    each = [jax.vmap(lambda b: (b.parameters.mean, b.parameters.covariance))(out.beliefs) for out in (smoothed, filtered)]
    errors = [((mean - theta) ** 2).sum(1)[50:350] for mean, _ in each]
    wide = [jnp.trace(covariance, axis1=1, axis2=2)[50:350] for _, covariance in each]
    assert wide[0].mean() < 0.7 * wide[1].mean()
    for error, variance in zip(errors, wide, strict=True):
        assert 0.6 < error.mean() / variance.mean() < 1.5  # 300 steps, correlated over 10: 30 x 3 independent squares
    assert errors[0].mean() < errors[1].mean()


def test_what_cannot_be_smoothed_is_refused():
    model, data = linear_model(), linear_data(12)
    with pytest.raises(TypeError, match="trajectory: Gaussian beliefs"):
        fl.smooth(
            SMOOTHERS["rauch_tung_striebel"]()[0], model, fl.run(fl.ParticleFilter(10), model, data, key=jax.random.key(0))
        )
    kept = fl.run(fl.Kalman(), model, data, save=lambda belief, info: info.log_evidence)
    with pytest.raises(TypeError, match="trajectory: the beliefs are needed"):
        fl.smooth(fl.RauchTungStriebel(fl.Kalman()), model, kept)


def test_the_derivative_passes():
    """Through filter and smoother, against finite differences."""

    def first(scale):
        model = eqx.tree_at(lambda m: m.transition.diffusion, linear_model(), scale * linear_model().transition.diffusion)
        out = fl.smooth(fl.RauchTungStriebel(fl.Kalman()), model, fl.run(fl.Kalman(), model, linear_data(12)))
        return jnp.sum(jnp.sin(out.mean))

    change = (first(1 + 1e-5) - first(1 - 1e-5)) / 2e-5
    np.testing.assert_allclose(jax.grad(first)(1.0), change, rtol=1e-6)
