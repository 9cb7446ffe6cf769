"""Continuous recurrent units against exact filters of linear equations."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.linalg import expm

import filterlearn as fl
from tests.cases import MATRIX, NOISE, linear_data, linear_model

TURNED = jnp.array([[0.0, 1.0], [-1.0, -0.2]])


def mixed(mixture, matrices=None):
    made = fl.MixedLinear(jnp.stack([MATRIX, TURNED]) if matrices is None else matrices, mixture, NOISE)
    model = linear_model()
    return fl.StateSpaceModel(model.initial, made, model.observation)


def test_a_constant_mixture_has_the_exact_filter():
    """The mixture .3, .7 of two matrices is one linear SDE; irregular gaps, equal times, missing entries."""
    weights, model, data = jnp.array([0.3, 0.7]), linear_model(), linear_data()
    exact = fl.LinearSDE(0.3 * MATRIX + 0.7 * TURNED, NOISE)
    known = fl.run(fl.Kalman(), fl.StateSpaceModel(model.initial, exact, model.observation), data)
    ours = fl.run(fl.ExtendedKalman(), mixed(lambda x: weights), data)
    np.testing.assert_allclose(ours.beliefs.mean, known.beliefs.mean, atol=1e-10)
    np.testing.assert_allclose(ours.beliefs.covariance, known.beliefs.covariance, atol=1e-10)
    np.testing.assert_allclose(ours.log_evidence, known.log_evidence, atol=1e-9)


def test_the_mean_chooses_the_matrix():
    """One gap: the mean and covariance of the linear SDE whose weights are those at the mean, by matrix exponentials."""
    choose = lambda x: jax.nn.softmax(jnp.stack([x[0], 2 * x[1]]))  # noqa: E731
    filter, model = fl.ExtendedKalman(), mixed(choose)
    before = filter.init(model)
    after = filter.predict(model, before, jnp.asarray(0.7))
    weights = np.asarray(choose(before.mean))
    a, q = np.asarray(weights[0] * MATRIX + weights[1] * TURNED), np.asarray(NOISE @ NOISE.T)
    moved = expm(0.7 * a)
    block = expm(0.7 * np.block([[-a, q], [np.zeros((2, 2)), a.T]]))  # Van Loan 1978
    np.testing.assert_allclose(after.mean, moved @ before.mean, rtol=1e-12)
    np.testing.assert_allclose(after.covariance, moved @ before.covariance @ moved.T + moved @ block[:2, 2:], rtol=1e-10)


def test_data_are_encoded_with_variances_of_their_own():
    """A linear encoder and its noise: the same filter as of an observation with that matrix; a broken row is missing."""
    model, data = linear_model(), linear_data(40, missing=0.0)
    spread = lambda value: 0.1 + value**2  # noqa: E731
    series = fl.encoded(lambda value: (2 * value, spread(value)), data)
    seen = fl.LinearGaussianObservation(2 * np.eye(2), lambda t, u: jnp.diag(u))
    found = fl.log_evidence(fl.Kalman(), fl.StateSpaceModel(model.initial, model.transition, seen), series)
    rows = fl.Dataset(data.times, 2 * data.values, spread(jnp.nan_to_num(data.values)))
    np.testing.assert_allclose(
        found, fl.log_evidence(fl.Kalman(), fl.StateSpaceModel(model.initial, model.transition, seen), rows), rtol=1e-12
    )
    broken = fl.encoded(lambda value: (value[:1], value[:1] ** 2), fl.Dataset([0.0, 1.0], [[1.0, np.nan], [1.0, 2.0]]))
    assert np.isnan(broken.values[0]).all()
    assert np.isfinite(broken.inputs).all()
    with pytest.raises(TypeError, match="inputs: rows are needed"):
        fl.encoded(lambda value: (value, value), fl.Dataset([0.0], [1.0], fl.Linear([0.0, 1.0], [0.0, 1.0])))
