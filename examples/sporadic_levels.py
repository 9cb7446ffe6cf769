"""Sporadic readings of a pair of correlated series, each about a level of its own: a learned linear SDE and the exact filter.

De Brouwer, Simm, Arany & Moreau 2019 (arXiv:1905.12374): dx = (r - x) dt + .1 dW, the two entries of W correlated by .99,
r uniform on [.5, 1.5] x [-1.5, -.5] for each series, x_0 = r, by steps of .05 to t = 10; seen without noise at 16 to 24 of
these times, one entry or, in a fifth of the cases, both. 1,600 series to learn from, 400 to score; the first reading after
t = 4 is predicted.

Learned, by `train` on the `Evidence` of a Kalman filter: the matrix that pulls x to r, the diffusion, the Gaussian prior of
r, and the noise of the readings. Score: mean of -log N(y; mean, variance) per number read. Target: within .02 of the exact
filter at the true parameters, the floor; that of 2,000 other series is -1.283, mean squared error .00528.

    python examples/sporadic_levels.py [results.jsonl]
"""

import json
import sys
import time

import jax
import jax.numpy as jnp
import numpy as np
import optax

import filterlearn as fl

STEP, LAST, SPLIT = 0.05, 10.0, 4.0
MIXED = np.linalg.cholesky([[1.0, 0.99], [0.99, 1.0]])


def series(rng):
    """One Dataset."""
    level = rng.uniform(-0.5, 0.5, 2) + [1, -1]
    x, path = level, [level]
    for _ in range(round(LAST / STEP)):
        x = x + STEP * (level - x) + 0.1 * STEP**0.5 * MIXED @ rng.normal(size=2)
        path.append(x)
    at = np.sort(rng.choice(np.arange(1, len(path)), rng.integers(16, 25), replace=False))
    values = np.array(path)[at]
    alone = rng.uniform(size=len(at)) >= 0.2
    values[np.flatnonzero(alone), rng.integers(0, 2, alone.sum())] = np.nan
    return fl.Dataset(STEP * at, values)


def data(seed, count=2000):
    """(four fifths to learn from, the others up to the first reading after t = 4), stacked."""
    rng = np.random.default_rng(seed)
    every = [series(rng) for _ in range(count)]
    parts = [each[: int(np.searchsorted(each.times, SPLIT + 1e-6)) + 1] for each in every]
    few = count // 5
    return fl.stacked(every[few:]), fl.stacked([each for each in parts[:few] if each.times[-1] > SPLIT])


def untrained():
    """What is learned: pull, factor of the diffusion, mean and log sds of the levels, log sd of the noise."""
    pull, factor = 0.3 * jnp.eye(2), 0.3 * jnp.eye(2)
    return {"pull": pull, "factor": factor, "mean": jnp.zeros(2), "wide": jnp.zeros(2), "noise": jnp.array(-3.0)}


def true():
    """The truth, but for the Gaussian prior, which has the moments of the uniform one."""
    wide = jnp.full(2, 0.5 * np.log(1 / 12))
    mean = jnp.array([1.0, -1.0])
    return {"pull": jnp.eye(2), "factor": 0.1 * jnp.asarray(MIXED), "mean": mean, "wide": wide, "noise": jnp.array(-8.0)}


def model(p):
    """(x, r): x is pulled to r, which stays."""
    still, wide = jnp.zeros((2, 2)), jnp.diag(jnp.exp(2 * p["wide"]))
    move = fl.LinearSDE(jnp.block([[-p["pull"], p["pull"]], [still, still]]), jnp.concatenate([jnp.tril(p["factor"]), still]))
    start = fl.Gaussian(jnp.tile(p["mean"], 2), jnp.tile(wide, (2, 2)), time=0.0)
    seen = fl.LinearGaussianObservation(jnp.eye(2, 4), jnp.exp(2 * p["noise"]) * jnp.eye(2))
    return fl.StateSpaceModel(start, move, seen)


OBJECTIVE = fl.Evidence(model, fl.Kalman())


def learned(train, seed, steps=600):
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


def row(seed, count=2000, steps=600):
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
        for seed in (1, 2, 3):
            found = row(seed)
            file.write(json.dumps(found) + "\n")
            words = [f"{name} {found[name]['nll']:.4f} (mse {found[name]['mse']:.5f})" for name in ("trivial", *NAMES)]
            print(f"seed {seed}: {', '.join(words)}; {found['seconds']:.0f} s; target: floor + .02", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
