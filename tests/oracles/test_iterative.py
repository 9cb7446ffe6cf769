"""The iterative ensemble Kalman filter against the transform where it is linear, and against the mode where it is not."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import filterlearn as fl
from tests.cases import linear_data, linear_model

KEY = jax.random.key(3)


@pytest.mark.parametrize("iterations", [1, 2])
def test_linear_dynamics_with_noise_make_it_the_transform(iterations):
    """Noise in the gap, missing entries, equal times: the same members, up to some hundred roundings a datum."""
    data, model = linear_data(30), linear_model()
    iterative, transform = (
        fl.run(fl.EnsembleKalman(12, analysis, 1.02), model, data, key=KEY)
        for analysis in (fl.Iterative(iterations), fl.Transform())
    )
    np.testing.assert_allclose(iterative.beliefs.members, transform.beliefs.members, atol=1e-9)
    np.testing.assert_allclose(iterative.log_evidence, transform.log_evidence, atol=1e-9)


def bent(x):
    return x + 0.3 * x**3


def mode(prior_mean, prior_variance, y, r):
    """The most likely start of a gap x1 = bent(x0) whose end was seen, by the best of a fine grid."""
    grid = np.linspace(-4.0, 4.0, 2_000_001)
    return grid[np.argmin((grid - prior_mean) ** 2 / prior_variance + (y - bent(grid)) ** 2 / r)]


def test_a_bent_gap_is_searched_for_its_mode():
    """The state keeps its start beside its bent end, which a precise datum tells: the members draw so close together that
    their differences are the slope, and the start's mean lies on the mode, and its variance is that of the bend there, up to
    their own spread. One linear step is far off."""
    starts, y, r = 1.0 + 0.4 * jax.random.normal(KEY, (10, 1)), 5.0, 1e-4
    moved = fl.Discrete(lambda t, x, u: jnp.stack([bent(x[0]), x[0]]), jnp.zeros((2, 2)))
    model = fl.StateSpaceModel(fl.Gaussian([1.0, 0.0], 0.16), moved, fl.LinearGaussianObservation([[1.0, 0.0]], [[r]]))
    variance = float(starts.var(ddof=1))
    best = mode(float(starts.mean()), variance, y, r)

    def after(analysis):
        before = fl.Ensemble(jnp.concatenate([starts, 0 * starts], axis=1), jnp.zeros(()))
        return fl.step(fl.EnsembleKalman(10, analysis), model, before, fl.Datum(jnp.ones(()), jnp.array([y])), key=KEY)[0]

    iterated, once = after(fl.Iterative(8)), after(fl.Transform())
    assert abs(iterated.mean[1] - best) < 1e-3
    assert abs(once.mean[1] - best) > 0.05
    slope = 1 + 0.9 * best**2
    np.testing.assert_allclose(iterated.covariance[1, 1], 1 / (1 / variance + slope**2 / r), rtol=1e-2)


def test_it_is_rotated_and_learned_through():
    """Inside `Rotated`, and a gradient through the search against finite differences."""
    data, model = linear_data(12), linear_model()

    def evidence(inflation):
        return fl.log_evidence(fl.EnsembleKalman(8, fl.Rotated(fl.Iterative(2)), inflation), model, data, key=KEY)

    difference = (evidence(1.05 + 1e-6) - evidence(1.05 - 1e-6)) / 2e-6
    np.testing.assert_allclose(jax.grad(evidence)(1.05), difference, rtol=1e-5)


def test_wrong_numbers_of_iterations_are_refused():
    with pytest.raises(ValueError, match="iterations: a whole number of at least 1"):
        fl.Iterative(0)
