"""The dense joint Gaussian of a linear model: the exact answer that filters are held against."""

import equinox as eqx
import numpy as np
from scipy.linalg import block_diag


def inputs(data, k):
    """The inputs of row k, if there are any."""
    return None if data.inputs is None else data.inputs[k]


def joint_states(model, data):
    """Mean `(T n,)` and covariance `(T n, T n)` of all states together."""
    n, length = model.initial.mean.shape[0], len(data)
    mean, joint = np.zeros(length * n), np.zeros((length * n, length * n))
    discretise = eqx.filter_jit(model.transition.discretise)
    m, p, previous = np.asarray(model.initial.mean), np.asarray(model.initial.covariance), model.initial.time
    for k, t in enumerate(data.times):
        a, b, q = (np.asarray(part) for part in discretise(previous, t, inputs(data, k)))
        rows, before = slice(k * n, (k + 1) * n), slice(0, k * n)
        m, p = a @ m + b, a @ p @ a.T + q
        if k:
            joint[rows, before] = a @ joint[(k - 1) * n : k * n, before]
            joint[before, rows] = joint[rows, before].T
        mean[rows], joint[rows, rows], previous = m, p, t
    return mean, joint


def joint_sensors(model, data):
    """H, R and y less the offset, of all data together."""
    sensors = [model.observation.linear(t, inputs(data, k)) for k, t in enumerate(data.times)]
    h, r = (block_diag(*(np.asarray(each[part]) for each in sensors)) for part in (0, 2))
    return h, r, np.asarray(data.values).ravel() - np.concatenate([np.asarray(each[1]) for each in sensors])


def dense_smoother(model, data):
    """(means, covariances) of each state given all the data."""
    (prior, joint), (h, r, y) = joint_states(model, data), joint_sensors(model, data)
    use, n = np.flatnonzero(~np.isnan(y)), len(prior) // len(data)
    gain = np.linalg.solve(h[use] @ joint @ h[use].T + r[np.ix_(use, use)], h[use] @ joint).T
    mean, covariance = prior + gain @ (y[use] - h[use] @ prior), joint - gain @ h[use] @ joint
    blocks = [covariance[k * n : (k + 1) * n, k * n : (k + 1) * n] for k in range(len(data))]
    return mean.reshape(-1, n), np.array(blocks)


def dense_filter(model, data):
    """(filtered means, filtered covariances, log evidence increments), by conditioning one joint Gaussian."""
    (prior, joint), (h, r, y) = joint_states(model, data), joint_sensors(model, data)
    n, m = len(prior) // len(data), data.values.shape[1]
    means, covariances, evidence = [], [], [0.0]
    for k in range(len(data)):
        use, rows = np.flatnonzero(~np.isnan(y[: (k + 1) * m])), slice(k * n, (k + 1) * n)
        s = h[use] @ joint @ h[use].T + r[np.ix_(use, use)]
        e = y[use] - h[use] @ prior
        gain = np.linalg.solve(s, h[use] @ joint[:, rows]).T
        means.append(prior[rows] + gain @ e)
        covariances.append(joint[rows, rows] - gain @ h[use] @ joint[:, rows])
        evidence.append(-0.5 * (e @ np.linalg.solve(s, e) + np.linalg.slogdet(s)[1] + len(use) * np.log(2 * np.pi)))
    return np.array(means), np.array(covariances), np.diff(evidence)
