"""S1: the latency of one observation at a time."""

import time

import numpy as np

from benchmarks.case import Case

CASES = {
    "Kalman, d = 4": Case({"kind": "kalman", "size": 0}, by="p50 ms"),
    "ensemble 100 x 3, 8 substeps": Case({"kind": "ensemble", "size": 100}, by="p50 ms"),
    "particles, N = 1,000": Case({"kind": "particle", "size": 1000}, None, {"p50 ms": 0.06, "p99 ms": 0.5}, by="p50 ms"),
    "particles, N = 10,000": Case({"kind": "particle", "size": 10_000}, by="p50 ms"),
}
COUNT = 2000


def gate(told, kind, size):
    """Every datum was absorbed."""
    if not np.isfinite(told["p99 ms"]):
        raise AssertionError("not finite")


def of(observe, dim, shift=0.0):
    """The run of `observe(k, y)`: the times of 2,000 data, one after another."""
    values = (shift + 0.5 * np.random.default_rng(8000).normal(size=(COUNT, dim))).astype(np.float32)
    count = iter(range(1, 10**9))

    def run():
        took = []
        for y in values:
            k = next(count)
            begin = time.perf_counter()
            observe(k, y)
            took.append(1e3 * (time.perf_counter() - begin))
        return {"p50 ms": float(np.median(took)), "p99 ms": float(np.quantile(took, 0.99))}

    return run


def filterlearn(kind, size):
    """`Session.observe`: mean, variance, evidence and flags, on the host."""
    import jax
    import jax.numpy as jnp

    import filterlearn as fl

    if kind == "kalman":
        a = -np.eye(4) + 0.3 * np.random.default_rng(0).normal(size=(4, 4))
        seen = fl.LinearGaussianObservation(np.eye(2, 4), 0.1 * np.eye(2))
        model = fl.StateSpaceModel(fl.Gaussian(np.zeros(4), 1.0, time=0.0), fl.LinearSDE(a, 0.5 * np.eye(4)), seen)
        algorithm, dim, gap = fl.Kalman(), 2, 0.1
    elif kind == "ensemble":
        drift = lambda t, x, u: jnp.stack([10 * (x[1] - x[0]), x[0] * (28 - x[2]) - x[1], x[0] * x[1] - 8 / 3 * x[2]])  # noqa: E731
        moves = fl.EulerMaruyama(fl.SDE(drift, 0.5 * np.ones(3)), steps=8)
        seen = fl.GaussianObservation(lambda t, x, u: x, np.eye(3))
        model = fl.StateSpaceModel(fl.Gaussian([1.0, 1.0, 20.0], 1.0, time=0.0), moves, seen)
        algorithm, dim, gap = fl.EnsembleKalman(size), 3, 0.01
    else:
        moves = fl.EulerMaruyama(fl.SDE(lambda t, x, u: -x, [0.5]), steps=1)
        model = fl.StateSpaceModel(
            fl.Gaussian([0.0], 1.0, time=0.0), moves, fl.GaussianObservation(lambda t, x, u: x, [[0.1]])
        )
        algorithm, dim, gap = fl.ParticleFilter(size), 1, 0.1
    session = fl.Session(algorithm, model, key=jax.random.key(0))
    shift = np.array([1.0, 1.0, 20.0]) if kind == "ensemble" else 0.0
    return of(lambda k, y: session.observe(gap * k, y), dim, shift)


def bare(kind, size):
    """One jitted step written for this model, its mean on the host."""
    import jax
    import jax.numpy as jnp

    from benchmarks.case import Missing

    if kind != "particle":
        raise Missing("none written")

    @jax.jit
    def step(x, w, y, k):
        first, second = jax.random.split(jax.random.fold_in(jax.random.key(0), k))
        low = 1 / jnp.sum(w**2) < size / 2
        edges = (jnp.arange(size) + jax.random.uniform(first)) / size
        index = jnp.searchsorted(jnp.cumsum(w), edges).clip(0, size - 1)
        x, w = jnp.where(low, x[index], x), jnp.where(low, 1 / size, w)
        x = 0.9 * x + 0.5 * np.sqrt(0.1) * jax.random.normal(second, (size,))
        v = jnp.log(w) - 5 * (y[0] - x) ** 2
        e = jnp.exp(v - jnp.max(v))
        w = e / jnp.sum(e)
        return x, w, w @ x

    held = [jnp.zeros(size), jnp.full(size, 1 / size)]

    def observe(k, y):
        held[0], held[1], mean = step(*held, y, k)
        return float(mean)

    return of(observe, 1)


def particles(kind, size):
    """One step of its SMC, numpy and numba."""
    import particles
    from particles import distributions, state_space_models

    from benchmarks.case import Missing

    if kind != "particle":
        raise Missing("not timed")

    class Model(state_space_models.StateSpaceModel):
        def PX0(self):
            return distributions.Normal(0.0, 1.0)

        def PX(self, t, xp):
            return distributions.Normal(0.9 * xp, 0.5 * np.sqrt(0.1))

        def PY(self, t, xp, x):
            return distributions.Normal(x, np.sqrt(0.1))

    data: list = []
    each = particles.SMC(state_space_models.Bootstrap(ssm=Model(), data=data), size, resampling="systematic", ESSrmin=0.5)

    def observe(k, y):
        data.append(y[0])
        next(each)

    return of(observe, 1)


SIDES = {"filterlearn": filterlearn, "bare": bare, "particles": particles}
