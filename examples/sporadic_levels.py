"""Sporadic readings of a pair of correlated series, each about a level of its own: a learned linear SDE and the exact filter.

De Brouwer, Simm, Arany & Moreau 2019 (arXiv:1905.12374): dx = (r - x) dt + .1 dW, the two entries of W correlated by .99,
r uniform on [.5, 1.5] x [-1.5, -.5] for each series, x_0 from the stationary law, by steps of .05 to t = 10; seen without
noise at 16 to 24 of these times, one entry or, in a fifth of the cases, both. 1,600 series to learn from, 400 to score; the
first reading after t = 4 is predicted.

Learned, by `train` on the `Evidence` of a Kalman filter: the matrix that pulls x to r, the diffusion, the Gaussian prior of
r, and the noise of the readings. Score: mean of -log N(y; mean, variance) per number read. Target: within .02 of the exact
filter at the true parameters, the floor; that of 2,000 other series is -1.283, mean squared error .00528.

    python examples/sporadic_levels.py [results.jsonl]
"""

import json
import sys
import time

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax

import filterlearn as fl

STEP, LAST, SPLIT = 0.05, 10.0, 4.0
MIXED = np.linalg.cholesky([[1.0, 0.99], [0.99, 1.0]])


def readings(rng, count):
    """Times `(count, 24)` and values `(count, 24, 2)`; series end in missing values at their last time."""
    level = rng.uniform(-0.5, 0.5, (count, 2)) + [1, -1]
    x = level + 0.1 * 0.5**0.5 * rng.normal(size=(count, 2)) @ MIXED.T
    path = [x]
    for _ in range(round(LAST / STEP)):
        x = x + STEP * (level - x) + 0.1 * STEP**0.5 * rng.normal(size=(count, 2)) @ MIXED.T
        path.append(x)
    at = np.sort(rng.uniform(size=(count, len(path) - 1)).argsort(axis=1)[:, :24] + 1, axis=1)
    size = rng.integers(16, 25, (count, 1))
    late = np.arange(24) >= size
    at = np.sort(np.take_along_axis(at, rng.uniform(size=at.shape).argsort(axis=1), axis=1) + 1000 * late, axis=1) % 1000
    at = np.where(late, np.take_along_axis(at, size - 1, axis=1), at)
    values = np.stack(path, axis=1)[np.arange(count)[:, None], at]
    hidden = (rng.uniform(size=at.shape) >= 0.2)[..., None] & (rng.integers(0, 2, at.shape)[..., None] == np.arange(2))
    return STEP * at, np.where(hidden | late[..., None], np.nan, values)


def packed(times, values):
    """Many series as one Dataset."""
    one = fl.Dataset(times[0], values[0])
    many = jnp.asarray(times, one.times.dtype), jnp.asarray(values, one.values.dtype)
    return eqx.tree_at(lambda data: (data.times, data.values), one, many)


def data(seed, count=2000):
    """(four fifths to learn from, the others up to the first reading after t = 4)."""
    times, values = readings(np.random.default_rng(seed), count)
    few, after = count // 5, times > SPLIT + 1e-6
    early = np.where((np.cumsum(after, axis=1) > 1)[..., None], np.nan, values)
    return packed(times[few:], values[few:]), packed(times[:few], early[:few])


def untrained():
    """What is learned: pull, factors of the diffusion and of x_0 - r, mean and log sds of r, log sd of the noise."""
    some = {name: 0.3 * jnp.eye(2) for name in ("pull", "factor", "start")}
    return some | {"mean": jnp.zeros(2), "wide": jnp.zeros(2), "noise": jnp.array(-3.0)}


def true():
    """The truth, but for the Gaussian prior, which has the moments of the uniform one."""
    wide = jnp.full(2, 0.5 * np.log(1 / 12))
    mean, factor = jnp.array([1.0, -1.0]), 0.1 * jnp.asarray(MIXED)
    some = {"pull": jnp.eye(2), "factor": factor, "start": factor / 2**0.5}
    return some | {"mean": mean, "wide": wide, "noise": jnp.array(-8.0)}


def model(p):
    """(x, r): x is pulled to r, which stays."""
    still, wide = jnp.zeros((2, 2)), jnp.diag(jnp.exp(2 * p["wide"]))
    move = fl.LinearSDE(jnp.block([[-p["pull"], p["pull"]], [still, still]]), jnp.concatenate([jnp.tril(p["factor"]), still]))
    apart = jnp.tril(p["start"])
    law = jnp.block([[wide + apart @ apart.T, wide], [wide, wide]])
    start = fl.Gaussian(jnp.tile(p["mean"], 2), law, time=0.0)
    seen = fl.LinearGaussianObservation(jnp.eye(2, 4), jnp.exp(2 * p["noise"]) * jnp.eye(2))
    return fl.StateSpaceModel(start, move, seen)


OBJECTIVE = fl.Evidence(model, fl.Kalman())


def learned(train, seed, steps=300):
    """Trained on minibatches of 100 series."""
    adam = optax.adam(optax.cosine_decay_schedule(0.05, max(steps, 1)))
    return fl.train(OBJECTIVE, untrained(), train, optimiser=adam, steps=steps, batch=100, key=jax.random.key(seed))


@jax.jit
def predicted(p, test):
    """Mean and variance of every reading before it was seen, `(series, T, 2)`."""
    one = lambda each: fl.run(fl.Kalman(), model(p), each, save=lambda belief, info: info.predicted).saved  # noqa: E731
    return jax.vmap(one)(test)


def scored(test, mean, variance):
    """Negative log-likelihood and mean squared error per number read, at the last reading of each series."""
    last = np.isfinite(test.values).any(2).cumsum(1).argmax(1)
    y, m, v = (np.asarray(each)[np.arange(len(last)), last] for each in (test.values, mean, variance))
    return {
        "nll": float(np.nanmean(0.5 * np.log(2 * np.pi * v) + 0.5 * (y - m) ** 2 / v)),
        "mse": float(np.nanmean((y - m) ** 2)),
    }


def trivial(train, test):
    """The mean of what was seen of each entry before, or of the other series, with the variance that this has in training."""
    y = np.asarray(train.values)
    centre = np.nanmean(y, axis=(0, 1))
    spread = np.nanmean((y - np.nanmean(y, axis=1, keepdims=True)) ** 2, axis=(0, 1))
    seen = np.asarray(test.values)
    count = np.isfinite(seen).cumsum(1) - np.isfinite(seen)
    total = np.nancumsum(seen, axis=1) - np.nan_to_num(seen)
    return scored(test, np.where(count > 0, total / np.maximum(count, 1), centre), np.broadcast_to(spread, seen.shape))


def row(seed, count=2000, steps=300):
    """The scores of a seed."""
    train, test = data(seed, count)
    begun = time.process_time()
    out = learned(train, seed, steps)
    seconds = time.process_time() - begun
    found = {"trivial": trivial(train, test)}
    found |= {
        name: scored(test, *predicted(p, test)) for name, p in zip(NAMES, (untrained(), out.module, true()), strict=True)
    }
    return {"seed": seed, "seconds": seconds, **found}


NAMES = ("untrained", "learned", "floor")


def main(path="results/sporadic_levels.jsonl"):
    """Prints the scores and writes a line for each seed."""
    with open(path, "w") as file:
        for seed in (1, 2):
            found = row(seed)
            file.write(json.dumps(found) + "\n")
            words = [f"{name} {found[name]['nll']:.4f} (mse {found[name]['mse']:.5f})" for name in ("trivial", *NAMES)]
            print(f"seed {seed}: {', '.join(words)}; {found['seconds']:.0f} s; target: floor + .02", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
