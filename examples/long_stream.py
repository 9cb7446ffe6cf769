"""A million observations through a session: constant memory and time, and no drift into NaN.

A level that relaxes, dx = -.5 x dt + .6 dW, seen through noise beside a regression whose two coefficients walk, learned by a
monitored joint filter, in double precision and in single. Printed after 1,000 and after all observations: resident memory;
over the last 1,000 the median time of an observation and the error of the coefficients in their standard deviations; the
flags so far, of which the false alarms of the monitor are at most one in 10,000 data on average.

    python examples/long_stream.py [observations]
"""

import collections
import itertools
import sys
import time

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist

import filterlearn as fl

TIMESCALE, SCALE = 50.0, 1.0  # of the coefficients


def family(dtype):
    """y = x + u'theta + e."""

    def build(p):
        level = fl.LinearSDE(jnp.full((1, 1), -0.5, dtype), jnp.full((1, 1), 0.6, dtype))
        seen = fl.LinearGaussianObservation(
            jnp.ones((1, 1), dtype), jnp.full((1, 1), 0.2, dtype), lambda t, u: (u @ p["theta"])[None]
        )
        return fl.StateSpaceModel(fl.Gaussian(jnp.zeros(1, dtype), jnp.ones((1, 1), dtype), time=0.0), level, seen)

    prior = dist.Normal(jnp.zeros(2, dtype), jnp.asarray(SCALE, dtype))
    return fl.ModelFamily(build, {"theta": fl.Parameter(prior, fl.OrnsteinUhlenbeck(TIMESCALE, SCALE))})


def resident():
    """Megabytes of memory that the process holds."""
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) / 1024 for line in file if line.startswith("VmRSS"))


def observations(rng):
    """(gap, value, inputs, theta), for ever, drawn from the model by blocks."""
    level, theta = rng.normal(), SCALE * rng.normal(size=2)
    while True:
        gaps, drawn = rng.integers(4, 13, 1000) / 8, (rng.normal(size=s) for s in ((1000, 2), 1000, (1000, 2), 1000))
        for gap, u, e, walk, noise in zip(gaps, *drawn, strict=True):  # of eighths, which single precision holds to the end
            kept, fall = np.exp(-gap / TIMESCALE), np.exp(-0.5 * gap)
            theta = kept * theta + SCALE * np.sqrt(1 - kept**2) * walk
            level = fall * level + 0.6 * np.sqrt(1 - fall**2) * e
            yield gap, level + u @ theta + 0.2**0.5 * noise, u, theta


def stream(dtype, count, marks):
    """(observations, megabytes, microseconds, error in sds, flags) at each mark of a stream."""
    session = fl.Session(
        fl.Monitored(fl.Joint(fl.ExtendedKalman()), fl.Wager(1e-4), 0.0), family(dtype), key=jax.random.key(0)
    )
    flags, now, rows = collections.Counter(), 0.0, []
    took, errors = (collections.deque(maxlen=1000) for _ in range(2))
    drawn = itertools.islice(observations(np.random.default_rng(0)), count)
    for k, (gap, value, u, theta) in enumerate(drawn, 1):
        now += gap
        start = time.perf_counter()
        report = session.observe(now, value, u)
        took.append(time.perf_counter() - start)
        flags.update(report.flags)
        told = report.parameters["theta"]
        errors.append(np.mean(((told["mean"] - theta) / told["sd"]) ** 2))
        if k in marks:
            rows.append((k, resident(), 1e6 * np.median(took), np.mean(errors) ** 0.5, dict(flags)))
    return rows


def main(count="1000000"):
    """Prints the table of both precisions."""
    print(f"{'precision':10s} {'observations':>12s} {'MB':>7s} {'us':>7s} {'error':>6s}  flags")
    for dtype in (jnp.float64, jnp.float32):
        for k, memory, micros, error, flags in stream(dtype, int(count), (1000, int(count))):
            print(f"{dtype.__name__:10s} {k:12d} {memory:7.1f} {micros:7.1f} {error:6.3f}  {flags}", flush=True)


if __name__ == "__main__":
    jax.config.update("jax_enable_x64", True)
    main(*sys.argv[1:])
