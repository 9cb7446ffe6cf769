"""Smoothing after a diffuse start, against the dense Gaussian with a flat prior."""

import jax
import numpy as np
import pytest

import filterlearn as fl

A, Q, R = np.array([[1.0, 1.0], [0.0, 1.0]]), np.array([[0.3, 0.1], [0.1, 0.2]]), 0.5
H = np.array([[1.0, 0.0]])
LENGTH = 9
DRAWS = 4000


def trend(start):
    """A level and its slope, of which the level is seen."""
    return fl.StateSpaceModel(start, fl.LinearDiscrete(A, Q), fl.LinearGaussianObservation(H, [[R]]))


VALUES = np.random.default_rng(3).normal(size=(LENGTH, 1)).cumsum(0)
VALUES[[1, 4]] = np.nan  # the slope is not known before the third
DATA = fl.Dataset(np.arange(float(LENGTH)), VALUES)


def dense():
    """Mean and covariance of all states together, from their precision: transitions and data, no prior."""
    precision, pull = np.zeros((2 * LENGTH, 2 * LENGTH)), np.zeros(2 * LENGTH)
    for k in range(LENGTH):
        own = slice(2 * k, 2 * k + 2)
        if np.isfinite(VALUES[k, 0]):
            precision[own, own] += H.T @ H / R
            pull[own] += H[0] * VALUES[k, 0] / R
        if k:
            step = np.hstack([-A, np.eye(2)])
            precision[2 * k - 2 : 2 * k + 2, 2 * k - 2 : 2 * k + 2] += step.T @ np.linalg.solve(Q, step)
    covariance = np.linalg.inv(precision)
    return covariance @ pull, covariance


def smoothed(smoother, key=None):
    model = trend(fl.Diffuse(2))
    return fl.smooth(smoother, model, fl.run(fl.Kalman(), model, DATA), key=key).beliefs


@pytest.mark.parametrize("smoother", [fl.RauchTungStriebel, fl.ParallelRauchTungStriebel])
def test_moments_are_those_of_a_flat_prior(smoother):
    """1e-9: the rounding of the dense inverse."""
    mean, covariance = dense()
    found = smoothed(smoother(fl.Kalman()))
    np.testing.assert_allclose(found.mean.ravel(), mean, atol=1e-9)
    for k in range(LENGTH):
        np.testing.assert_allclose(found.covariance[k], covariance[2 * k : 2 * k + 2, 2 * k : 2 * k + 2], atol=1e-9)
    assert not np.asarray(found.diffuse).any()


def test_paths_have_the_joint_law():
    """Means and all covariances, over time too, within five standard errors."""
    mean, covariance = dense()
    points = np.asarray(smoothed(fl.GaussianPaths(fl.Kalman(), DRAWS), jax.random.key(0)).points)
    white = np.linalg.solve(np.linalg.cholesky(covariance), (points.transpose(0, 2, 1).reshape(2 * LENGTH, DRAWS).T - mean).T)
    assert (abs(white.mean(1)) < 5 / DRAWS**0.5).all()
    products = white @ white.T / DRAWS - np.eye(2 * LENGTH)
    assert (abs(products) < 5 * np.sqrt((1 + np.eye(2 * LENGTH)) / DRAWS)).all()


@pytest.mark.parametrize("smoother", [fl.RauchTungStriebel(fl.Kalman()), fl.GaussianPaths(fl.Kalman(), 5)])
def test_a_state_that_no_datum_tells_of_is_refused(smoother):
    """One datum leaves the slope unknown."""
    model = trend(fl.Diffuse(2))
    with pytest.raises(
        ValueError, match=r"trajectory: after the last datum states \[.*1\] are still diffuse; give more data"
    ):
        fl.smooth(smoother, model, fl.run(fl.Kalman(), model, DATA[:2]), key=jax.random.key(0))
