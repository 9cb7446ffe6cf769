"""W1: the Kalman filter."""

import functools

import numpy as np

from benchmarks.case import Case, Missing, jitted

WIDE = True
SIZES = {2: 2, 10: 5, 50: 10}
KNOWN = {2: -2628.806222574, 10: -7095.044502863, 50: -15459.971160295}  # at 1,000 data
TARGETS = {2: (8.0, 12.0), 10: (1.4, 2.0), 50: (1.1, 1.2)}
CASES = {}
for _d, (_value, _gradient) in TARGETS.items():
    CASES[f"d = {_d}, T = 1,000, value"] = Case({"d": _d, "length": 1000, "kind": "value"}, _value)
    CASES[f"d = {_d}, T = 1,000, gradient"] = Case({"d": _d, "length": 1000, "kind": "gradient"}, _gradient)
CASES["d = 2, T = 10,000, value"] = Case({"d": 2, "length": 10000, "kind": "value"}, 8.0)
CASES["d = 10, T = 1,000, parallel in time"] = Case({"d": 10, "length": 1000, "kind": "parallel"}, 1.0, {"first s": 4.0})


@functools.cache
def series(d, length):
    """F, H, Q, R and the data."""
    rng, m = np.random.default_rng(1000 + d), SIZES[d]
    f = 0.97 * np.linalg.qr(rng.normal(size=(d, d)))[0]
    a = rng.normal(size=(d, d)) / np.sqrt(d)
    q, h = 0.1 * np.eye(d) + 0.05 * a @ a.T, rng.normal(size=(m, d)) / np.sqrt(d)
    x, values, root = rng.normal(size=d), [], np.linalg.cholesky(q)
    for t in range(length):
        x = f @ x + root @ rng.normal(size=d) if t else x
        values.append(h @ x + np.sqrt(0.5) * rng.normal(size=m))
    return f, h, q, 0.5 * np.eye(m), np.array(values)


def gate(told, d, length, **_):
    """The log-likelihood that all must find."""
    found = told["log-likelihood"]
    if length == 1000 and not abs(found - KNOWN[d]) < 1e-6 * abs(KNOWN[d]):
        raise AssertionError(f"log-likelihood {found}, {KNOWN[d]} is known")


def of(filtered, d, length, kind):
    """The run of `filtered(F, H, Q, R, y)` -> (log-likelihood, filtered means): both, or the value and its gradient in
    (F, H, log q-scale, log r-scale)."""
    import jax
    import jax.numpy as jnp

    f, h, q, r, values = map(jnp.asarray, series(d, length))

    def at(theta, values):
        return filtered(theta[0], theta[1], jnp.exp(theta[2]) * q, jnp.exp(theta[3]) * r, values)

    def value(theta, values):
        total, means = at(theta, values)
        return {"log-likelihood": total, "means": means}

    def gradient(theta, values):
        total, slope = jax.value_and_grad(lambda theta: at(theta, values)[0])(theta)
        return {"log-likelihood": total, "slope": jnp.concatenate([jnp.ravel(s) for s in slope])}

    theta = (f, h, jnp.zeros(()), jnp.zeros(()))
    return jitted(gradient if kind == "gradient" else value, theta, values)


def filterlearn(d, length, kind):
    """The evidence of each datum, filtered means."""
    import jax.numpy as jnp

    import filterlearn as fl

    times, algorithm = np.arange(float(length)), fl.ParallelKalman() if kind == "parallel" else fl.Kalman()

    def filtered(f, h, q, r, values):
        start = fl.Gaussian(jnp.zeros(d), jnp.eye(d))
        model = fl.StateSpaceModel(start, fl.LinearDiscrete(f, q), fl.LinearGaussianObservation(h, r))
        told = fl.run(algorithm, model, fl.Dataset(times, values), save=lambda b, info: (info.log_evidence, b.mean))
        return jnp.sum(told.saved[0]), told.saved[1]

    return of(filtered, d, length, kind)


def bare(d, length, kind):
    """The log-likelihood and filtered means, by a scan written for this model: scalars for d = 2, else Cholesky."""
    import jax
    import jax.numpy as jnp

    def pair(carry, y):
        (m, p, f, h, q, r), (a, b) = carry, y
        (h00, h01), (h10, h11) = h
        ph = [[p[i][0] * h00 + p[i][1] * h01, p[i][0] * h10 + p[i][1] * h11] for i in range(2)]
        s00 = h00 * ph[0][0] + h01 * ph[1][0] + r[0][0]
        s01 = h00 * ph[0][1] + h01 * ph[1][1] + r[0][1]
        s11 = h10 * ph[0][1] + h11 * ph[1][1] + r[1][1]
        det = s00 * s11 - s01 * s01
        e0, e1 = a - h00 * m[0] - h01 * m[1], b - h10 * m[0] - h11 * m[1]
        w0, w1 = (s11 * e0 - s01 * e1) / det, (s00 * e1 - s01 * e0) / det
        told = -0.5 * (e0 * w0 + e1 * w1 + jnp.log(det)) - np.log(2 * np.pi)
        after = [m[i] + ph[i][0] * w0 + ph[i][1] * w1 for i in range(2)]
        k = [[(ph[i][0] * s11 - ph[i][1] * s01) / det, (ph[i][1] * s00 - ph[i][0] * s01) / det] for i in range(2)]
        c = [[p[i][j] - k[i][0] * ph[j][0] - k[i][1] * ph[j][1] for j in range(2)] for i in range(2)]
        ahead = [f[i][0] * after[0] + f[i][1] * after[1] for i in range(2)]
        fc = [[f[i][0] * c[0][j] + f[i][1] * c[1][j] for j in range(2)] for i in range(2)]
        wide = [[fc[i][0] * f[j][0] + fc[i][1] * f[j][1] + q[i][j] for j in range(2)] for i in range(2)]
        return (ahead, wide, f, h, q, r), (told, jnp.stack(after))

    def general(carry, y):
        m, p, f, h, q, r = carry
        ph = p @ h.T
        root = jnp.linalg.cholesky(h @ ph + r)
        solved = jax.scipy.linalg.solve_triangular(root, jnp.concatenate([ph.T, (y - h @ m)[:, None]], 1), lower=True)
        w, e = solved[:, :-1], solved[:, -1]
        told = -0.5 * e @ e - jnp.sum(jnp.log(jnp.diagonal(root))) - 0.5 * len(y) * np.log(2 * np.pi)
        after, c = m + w.T @ e, p - w.T @ w
        return (f @ after, f @ c @ f.T + q, f, h, q, r), (told, after)

    def filtered(f, h, q, r, values):
        cells = lambda a: [[a[i, j] for j in range(2)] for i in range(2)]  # noqa: E731
        if d == 2:
            zero, one = jnp.zeros(()), jnp.ones(())
            carry = ([zero, zero], [[one, zero], [zero, one]], cells(f), cells(h), cells(q), cells(r))
            told, means = jax.lax.scan(pair, carry, (values[:, 0], values[:, 1]))[1]
        else:
            told, means = jax.lax.scan(general, (jnp.zeros(d), jnp.eye(d), f, h, q, r), values)[1]
        return jnp.sum(told), means

    if kind == "parallel":
        raise Missing("none written")
    return of(filtered, d, length, kind)


def dynamax(d, length, kind):
    """The log-likelihood, filtered means and covariances."""
    import jax.numpy as jnp
    from dynamax.linear_gaussian_ssm import inference, parallel_inference

    filter = (parallel_inference if kind == "parallel" else inference).lgssm_filter

    def filtered(f, h, q, r, values):
        m = values.shape[1]
        params = inference.ParamsLGSSM(
            inference.ParamsLGSSMInitial(jnp.zeros(d), jnp.eye(d)),
            inference.ParamsLGSSMDynamics(f, jnp.zeros(d), jnp.zeros((d, 0)), q),
            inference.ParamsLGSSMEmissions(h, jnp.zeros(m), jnp.zeros((m, 0)), r),
        )
        found = filter(params, values)
        return jnp.sum(found.marginal_loglik), found.filtered_means

    return of(filtered, d, length, kind)


def cuthbert(d, length, kind):
    """The log-likelihood, filtered means and factors."""
    import jax.numpy as jnp
    from cuthbert import filter
    from cuthbert.gaussian import kalman

    def filtered(f, h, q, r, values):
        m, half, root = values.shape[1], jnp.linalg.cholesky(q), jnp.linalg.cholesky(r)
        first = jnp.arange(length) == 0  # its start moves before the first datum: by nothing here

        def moves(row):
            return jnp.where(row["first"], jnp.eye(d), f), jnp.zeros(d), jnp.where(row["first"], 0.0, half)

        each = kalman.build_filter(jnp.zeros(d), jnp.eye(d), moves, lambda row: (h, jnp.zeros(m), root, row["y"]))
        found = filter(each, {"y": values, "first": first}, each.init_prepare(), parallel=kind == "parallel")
        return found.log_normalizing_constant[-1], found.mean[1:]

    return of(filtered, d, length, kind)


def filterpy(d, length, kind):
    """The log-likelihood, datum by datum in numpy."""
    from filterpy.kalman import KalmanFilter

    if kind != "value" or d != 2:
        raise Missing("no gradient, not parallel; timed at d = 2")
    f, h, q, r, values = series(d, length)

    def run():
        each, total = KalmanFilter(dim_x=d, dim_z=SIZES[d]), 0.0
        each.x, each.P, each.F, each.H, each.Q, each.R = np.zeros(d), np.eye(d), f, h, q, r
        for k, y in enumerate(values):
            if k:
                each.predict()
            each.update(y)
            total += each.log_likelihood
        return {"log-likelihood": total}

    return run


def particles(d, length, kind):
    """The log-likelihood and filtered means, by its Kalman class in numpy."""
    from particles import kalman

    if kind != "value" or d != 2:
        raise Missing("no gradient, not parallel; timed at d = 2")
    f, h, q, r, values = series(d, length)
    model = kalman.MVLinearGauss(F=f, G=h, covX=q, covY=r, mu0=np.zeros(d), cov0=np.eye(d))

    def run():
        each = kalman.Kalman(ssm=model, data=values)
        each.filter()
        return {"log-likelihood": float(np.sum(each.logpyt))}

    return run


SIDES = {
    "filterlearn": filterlearn,
    "bare": bare,
    "dynamax": dynamax,
    "cuthbert": cuthbert,
    "filterpy": filterpy,
    "particles": particles,
}
