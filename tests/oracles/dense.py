"""The dense joint Gaussian of a linear model: the exact answer that filters are held against."""

import numpy as np


def dense_filter(model, data):
    """(filtered means, filtered covariances, log evidence increments), by conditioning one joint Gaussian."""
    times, values = np.asarray(data.times), np.asarray(data.values)
    n, length = model.initial.mean.shape[0], len(times)
    mean, cov = [np.asarray(model.initial.mean)], [[np.asarray(model.initial.covariance)]]
    previous = 0.0
    means, joint = [], np.zeros((length * n, length * n))
    m, blocks = mean[0], None
    for k, t in enumerate(times):
        a, b, q = (np.asarray(part) for part in model.transition.discretise(previous, t))
        m = a @ m + b
        own = a @ (cov[0][0] if k == 0 else joint[(k - 1) * n : k * n, (k - 1) * n : k * n]) @ a.T + q
        rows = slice(k * n, (k + 1) * n)
        if k:
            blocks = a @ joint[(k - 1) * n : k * n, : k * n]
            joint[rows, : k * n], joint[: k * n, rows] = blocks, blocks.T
        joint[rows, rows] = own
        means.append(m)
        previous = t
    h, _, r = (np.asarray(part) for part in model.observation.linear(0.0))
    prior = np.concatenate(means)
    big_h, big_r = np.kron(np.eye(length), h), np.kron(np.eye(length), r)
    y, seen = values.ravel(), ~np.isnan(values.ravel())
    out_m, out_p, evidence, before = [], [], [], 0.0
    for k in range(length):
        use = np.flatnonzero(seen & (np.arange(y.size) < (k + 1) * h.shape[0]))
        hk = big_h[use]
        s = hk @ joint @ hk.T + big_r[np.ix_(use, use)]
        e = y[use] - hk @ prior
        rows = slice(k * n, (k + 1) * n)
        gain = np.linalg.solve(s, hk @ joint[:, rows]).T
        out_m.append(prior[rows] + gain @ e)
        out_p.append(joint[rows, rows] - gain @ hk @ joint[:, rows])
        total = -0.5 * (e @ np.linalg.solve(s, e) + np.linalg.slogdet(s)[1] + len(use) * np.log(2 * np.pi))
        evidence.append(total - before)
        before = total
    return np.array(out_m), np.array(out_p), np.array(evidence)
