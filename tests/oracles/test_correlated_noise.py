"""State and observation noise that are correlated, by the recipe of `LinearDiscrete`: the noise is put into the state."""

import numpy as np
import pytest
from scipy.linalg import block_diag
from scipy.stats import multivariate_normal

import filterlearn as fl

A = np.array([[0.9, 0.2], [-0.1, 0.7]])
Q = np.array([[0.5, 0.1], [0.1, 0.3]])
H = np.array([[1.0, 0.5], [0.0, 1.0], [1.0, -1.0]])
R = np.diag([0.4, 0.3, 0.6])
S = np.array([[0.2, -0.1, 0.15], [0.05, 0.12, -0.1]])  # cov(w, v)
M0, P0 = np.array([1.0, -1.0]), np.array([[0.5, 0.1], [0.1, 0.4]])


def values():
    y = np.random.default_rng(3).normal(size=(60, 3))
    y[[7, 20]] = np.nan
    y[30, 1] = y[41, 0] = np.nan
    return y


def at_the_same_time():
    """x_k = A x_k-1 + w_k and y_k = H x_k + v_k with cov(w_k, v_k) = S, and its filter (Simon 2006, section 7.1)."""
    move = np.block([[A, np.zeros((2, 3))], [np.zeros((3, 5))]])
    noise = np.block([[Q, S], [S.T, R]])

    def known(y):
        m, p = A @ M0, A @ P0 @ A.T + Q
        for row in y:
            seen = ~np.isnan(row)
            h, r, s = H[seen], R[np.ix_(seen, seen)], S[:, seen]
            spread = h @ p @ h.T + h @ s + s.T @ h.T + r
            score = multivariate_normal(h @ m, spread).logpdf(row[seen]) if seen.any() else 0.0
            gain = (p @ h.T + s) @ np.linalg.inv(spread)
            m, p = m + gain @ (row[seen] - h @ m), p - gain @ spread @ gain.T
            yield m, p, score
            m, p = A @ m, A @ p @ A.T + Q

    return move, noise, known


def before_the_next():
    """x_k+1 = A x_k + w_k and y_k = H x_k + v_k with cov(w_k, v_k) = S: w_k = S R^-1 v_k + a noise of its own, and the
    one-step predictor with the gain (A P H' + S) / (H P H' + R)."""
    carried = S @ np.linalg.inv(R)
    move = np.block([[A, carried], [np.zeros((3, 5))]])
    noise = np.block([[Q - carried @ S.T, np.zeros((2, 3))], [np.zeros((3, 2)), R]])

    def known(y):
        m, p = A @ M0, A @ P0 @ A.T + Q
        for row in y:
            seen = ~np.isnan(row)
            h, r, s = H[seen], R[np.ix_(seen, seen)], S[:, seen]
            spread = h @ p @ h.T + r
            score = multivariate_normal(h @ m, spread).logpdf(row[seen]) if seen.any() else 0.0
            now, ahead = p @ h.T @ np.linalg.inv(spread), (A @ p @ h.T + s) @ np.linalg.inv(spread)
            error = row[seen] - h @ m
            yield m + now @ error, p - now @ spread @ now.T, score
            m, p = A @ m + ahead @ error, A @ p @ A.T + Q - ahead @ spread @ ahead.T

    return move, noise, known


@pytest.mark.parametrize("model", [at_the_same_time, before_the_next])
@pytest.mark.parametrize("algorithm", [fl.Kalman(), fl.ExtendedKalman()], ids=["kalman", "extended"])
def test_equals_the_filter_with_a_cross_covariance(model, algorithm):
    """To 1e-9; with S left out it would not."""
    move, noise, known = model()
    start = fl.Gaussian(np.append(M0, np.zeros(3)), np.block([[P0, np.zeros((2, 3))], [np.zeros((3, 2)), R]]), time=0.0)
    seen = fl.LinearGaussianObservation(np.hstack([H, np.eye(3)]), np.zeros((3, 3)))
    data = fl.Dataset(np.arange(1.0, 61.0), values())

    def run(move, noise):
        return fl.run(algorithm, fl.StateSpaceModel(start, fl.LinearDiscrete(move, noise), seen), data)

    ours, (m, p, score) = run(move, noise), map(np.stack, zip(*known(values()), strict=True))
    np.testing.assert_allclose(ours.mean[:, :2], m, atol=1e-9)
    np.testing.assert_allclose(ours.covariance[:, :2, :2], p, atol=1e-9)
    np.testing.assert_allclose(ours.log_evidence, score, atol=1e-9)
    apart = run(block_diag(A, np.zeros((3, 3))), block_diag(Q, R))
    assert abs(apart.mean[:, :2] - m).max() > 0.01
