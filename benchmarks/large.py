"""The largest sizes of the workloads on the device that jax finds, float32, ours alone: a table and lines of JSON.

    python -m benchmarks.large [results/large.jsonl] [largest power of ten of the particles]

Seconds are the least of three runs after compilation. Bytes and operations of one datum are the compiler's own count for one
datum, loops inside it counted once, and give the rates beside them; memory is the device's peak so far.
"""

import json
import sys
import time

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist

import filterlearn as fl


def volatility(mean=-1.0, memory=0.97, scale=0.2):
    """x' = mean + memory (x - mean) + scale e, y = exp(x / 2) v, from the stationary law."""
    start = fl.Gaussian(jnp.reshape(mean, 1), jnp.reshape(scale**2 / (1 - memory**2), (1, 1)), time=0.0)
    move = fl.LinearDiscrete(jnp.reshape(memory, (1, 1)), jnp.reshape(scale**2, (1, 1)), jnp.reshape(mean * (1 - memory), 1))
    return fl.StateSpaceModel(start, move, fl.DistributionObservation(lambda t, x, u: dist.Normal(0.0, jnp.exp(x[0] / 2))))


def family():
    """Its mean walks, its memory and scale stand still."""
    return fl.ModelFamily(
        lambda p: volatility(p["mean"], p["memory"], p["scale"]),
        {
            "mean": fl.Parameter(dist.Normal(-1.0, 0.5), fl.RandomWalk(0.02)),
            "memory": fl.Parameter(dist.Beta(20.0, 1.0)),
            "scale": fl.Parameter(dist.LogNormal(-1.6, 0.3)),
        },
    )


def lorenz96(dim):
    """40 or more variables on a ring, F = 8, all seen, R = I, Runge-Kutta steps of .05."""

    def drift(t, x, u):
        return (jnp.roll(x, -1) - jnp.roll(x, 2)) * jnp.roll(x, 1) - x + 8.0

    start = fl.Gaussian(jnp.zeros(dim).at[0].set(1.0), 0.001, time=0.0)
    seen = fl.LinearGaussianObservation(jnp.eye(dim), jnp.eye(dim))
    return fl.StateSpaceModel(start, fl.RungeKutta(fl.SDE(drift, jnp.zeros(dim)), steps=1), seen)


def data(length, size=None, gap=1.0):
    """Standard normal values, `size` at a time."""
    shape = length if size is None else (length, size)
    return fl.Dataset(gap * jnp.arange(1.0, length + 1), np.random.default_rng(0).normal(size=shape).astype(np.float32))


def least(call, times=3):
    """(seconds of the first call, the least of the next)."""
    seconds = []
    for _ in range(times + 1):
        begun = time.perf_counter()
        jax.block_until_ready(call())
        seconds.append(time.perf_counter() - begun)
    return seconds[0], min(seconds[1:])


def evidence(algorithm, problem, series, key):
    """A row: the log-evidence alone."""
    whole = jax.jit(lambda s, k: fl.log_evidence(algorithm, problem, s, key=k))
    first, run = least(lambda: whole(series, key))
    one = jax.tree.map(lambda leaf: leaf[:1] if leaf.ndim else leaf, series)
    cost = whole.lower(one, key).compile().cost_analysis()
    return cost | {"first s": first, "s per datum": run / len(series.times)}


def fleet(size, key, ticks=20):
    """A row: so many series of a local level and slope, one datum of each at a time, from the host and back."""
    move = fl.LinearDiscrete(jnp.array([[1.0, 1.0], [0.0, 1.0]]), 0.01 * jnp.eye(2))
    seen = fl.LinearGaussianObservation(jnp.array([[1.0, 0.0]]), jnp.eye(1))
    model = fl.StateSpaceModel(fl.Gaussian(jnp.zeros(2), 1.0, time=0.0), move, seen)
    whole = fl.Fleet(fl.Kalman(), model, size, key=key)
    names, values = list(range(size)), np.random.default_rng(0).normal(size=(ticks + 1, size, 1)).astype(np.float32)
    whole.add(names)
    seconds = []
    for k in range(ticks + 1):
        begun = time.perf_counter()
        whole.observe(names, np.full(size, k + 1.0), values[k])
        seconds.append(time.perf_counter() - begun)
    return {"first s": seconds[0], "s per datum": min(seconds[1:])}


def rows(most):
    """(name, points that move for each datum, how to get its row)."""
    for power in range(3, most + 1):
        filter = fl.ParticleFilter(10**power)
        yield f"particles 1e{power}", 10**power, lambda key, f=filter: evidence(f, volatility(), data(50), key)
    nested = fl.Nested(fl.ParticleFilter(1000), 1000)
    yield "nested 1,000 x 1,000", 10**6, lambda key: evidence(nested, family(), data(20), key)
    yield "fleet of 100,000", 10**5, lambda key: fleet(10**5, key)
    for dim, members in ((40, 1000), (1000, 1000), (10_000, 1000), (1000, 10_000), (10_000, 10_000)):
        series = data(5, dim, 0.05)
        for analysis in (fl.Perturbed(), fl.Transform()):
            algorithm = fl.EnsembleKalman(members, analysis, 1.02)
            name = f"{type(analysis).__name__.lower()} ensemble of {members} in dimension {dim}"
            yield name, dim * members, lambda key, a=algorithm, n=dim, s=series: evidence(a, lorenz96(n), s, key)


def main(path="results/large.jsonl", most="7"):
    """Prints a line for each row and writes it; a row that fails is told."""
    device = jax.devices()[0]
    with open(path, "w") as file:
        for name, points, make in rows(int(most)):
            try:
                row = make(jax.random.key(0))
            except Exception as error:  # one row must not cost the others
                print(f"{name}: MISSING, {str(error).splitlines()[0][:100]}", flush=True)
                continue
            seconds, stats = row["s per datum"], device.memory_stats() or {}
            told = {"device": device.device_kind, "jax": jax.__version__, "name": name, "first s": row["first s"]}
            told |= {"ms per datum": 1e3 * seconds, "ns per point": 1e9 * seconds / points}
            told |= {"GB/s": row.get("bytes accessed", 0.0) / seconds / 1e9, "GFLOP/s": row.get("flops", 0.0) / seconds / 1e9}
            told |= {"peak GB": stats.get("peak_bytes_in_use", 0) / 1e9}
            print(json.dumps(told), file=file, flush=True)
            words = "  ".join(f"{k} {v:.4g}" for k, v in told.items() if isinstance(v, float))
            print(f"{name:48s} {words}", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
