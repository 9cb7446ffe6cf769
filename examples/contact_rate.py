"""A contact rate that moves, learned online from counts of an epidemic and smoothed.

    dS = -b S I / N,   dI = b S I / N - (g + h) I,   dR = g I,   dD = h I,      b = .3 + .1 sin(2 pi t / 60),

recovery g = .06, death h = .002 and N = 83 million, one infected at first; daily counts of all four for 120 days, each with
noise of 5 %. The model is the same equation in logarithms, by one Runge-Kutta step a day; log b is a Matern process of order
3/2 (timescale 25 days, sd .3) about an unknown level, g and h are unknown too. Score: the root mean square error of
the smoothed b over the days, less than .02, and the share of days on which its 95 % band holds b, .90 to .99; the mean over
seeds 0 to 19, in less than 10 seconds each (after Schmidt, Kramer & Hennig 2021, arXiv:2103.10153, who solve the equation by
a filter as well). The first run compiles.

    python examples/contact_rate.py [results.jsonl]
"""

import functools
import json
import sys
import time

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist

import filterlearn as fl

SEEDS, DAYS, POPULATION, RECOVERY, DEATH, NOISE = tuple(range(20)), 120, 83e6, 0.06, 0.002, 0.05
TIMESCALE, SPREAD = 25.0, 0.3  # of the logarithm of the rate, chosen on seeds 1,000 to 1,009


def rate(t):
    """The contact rate of the truth."""
    return 0.3 + 0.1 * np.sin(2 * np.pi * t / 60)


@functools.cache
def epidemic():
    """Logarithms of S, I, R and D on each day, by 100 Runge-Kutta steps a day."""

    def slope(t, x):
        s, i, _, _ = x
        new = rate(t) * s * i / POPULATION
        return np.array([-new, new - (RECOVERY + DEATH) * i, RECOVERY * i, DEATH * i])

    x, h, path = np.array([POPULATION - 3.0, 1.0, 1.0, 1.0]), 0.01, []
    for k in range(DAYS * 100 + 1):
        if k % 100 == 0:
            path.append(np.log(x))
        t = k * h
        a = slope(t, x)
        b = slope(t + h / 2, x + h / 2 * a)
        c = slope(t + h / 2, x + h / 2 * b)
        x = x + h / 6 * (a + 2 * b + 2 * c + slope(t + h, x + h * c))
    return np.array(path)


def counts(seed):
    """Logarithms of the counts of a seed."""
    values = epidemic() + NOISE * np.random.default_rng(seed).normal(size=(DAYS + 1, 4))
    return fl.Dataset(np.arange(DAYS + 1.0), values)


def drift(p):
    """Of the logarithms of S, I, R, D and of the rate over its level, and of the slope of the last."""
    pull = np.sqrt(3) / TIMESCALE

    def slope(t, x, u):
        s, i, r, d, b, v = x
        contact = p["level"] * jnp.exp(b)
        infected = jnp.exp(i - jnp.log(POPULATION))
        out, dead = p["recovery"] * jnp.exp(i - r), p["death"] * jnp.exp(i - d)
        grown = contact * jnp.exp(s - jnp.log(POPULATION)) - p["recovery"] - p["death"]
        return jnp.stack([-contact * infected, grown, out, dead, v, -(pull**2) * b - 2 * pull * v])

    return slope


@functools.cache
def family():
    """The epidemic with its level, recovery and death unknown."""
    pull = np.sqrt(3) / TIMESCALE
    noise = np.zeros((6, 1))
    noise[5] = SPREAD * np.sqrt(4 * pull**3)
    start = np.concatenate([[np.log(POPULATION), 0.0, 0.0, 0.0], np.zeros(2)])
    spread = np.diag([1e-4, 1.0, 1.0, 1.0, SPREAD**2, (pull * SPREAD) ** 2])

    def build(p):
        step = fl.RungeKutta(fl.SDE(drift(p), noise), steps=1)
        seen = fl.LinearGaussianObservation(np.eye(4, 6), NOISE**2 * np.eye(4))
        return fl.StateSpaceModel(fl.Gaussian(start, spread, time=0.0), step, seen)

    priors = {"level": dist.LogNormal(-1.5, 1.0), "recovery": dist.LogNormal(-2.5, 1.0), "death": dist.LogNormal(-5.0, 1.0)}
    return fl.ModelFamily(build, {name: fl.Parameter(prior) for name, prior in priors.items()})


@eqx.filter_jit
def log_rates(given, data):
    """Mean and standard deviation of the logarithm of the rate on each day, filtered and smoothed, `(2, days)`."""
    learner = fl.Joint(fl.ExtendedKalman())
    filtered = fl.run(learner, given, data)
    smoothed = fl.smooth(fl.RauchTungStriebel(learner), given, filtered)

    def moments(belief):
        pick = jnp.zeros(belief.stacked.mean.shape[0]).at[4].set(1.0).at[6 + given.names.index("level")].set(1.0)
        return pick @ belief.stacked.mean, jnp.sqrt(pick @ belief.stacked.covariance @ pick)

    return [jax.vmap(moments)(out.beliefs) for out in (filtered, smoothed)]


def score(seed):
    """Errors of the rate, and the shares of days within the 95 % band: filtered, smoothed."""
    truth, out = rate(np.arange(DAYS + 1.0)), {}
    for name, (mean, sd) in zip(("filtered", "smoothed"), log_rates(family(), counts(seed)), strict=True):
        low, high = np.exp(mean - 1.96 * sd), np.exp(mean + 1.96 * sd)
        out[name] = float(np.sqrt(np.mean((np.exp(mean) - truth) ** 2)))
        out[f"{name} covered"] = float(np.mean((low < truth) & (truth < high)))
    return out


def main(path="results/contact_rate.jsonl"):
    """Prints the table and writes the score of each seed."""
    with open(path, "w") as file:
        rows = []
        for seed in SEEDS:
            start = time.perf_counter()
            rows.append(score(seed) | {"seconds": time.perf_counter() - start})
            file.write(json.dumps({"seed": seed, **rows[-1]}) + "\n")
    print(f"unlearned, the mean rate for all days: {np.std(rate(np.arange(DAYS + 1.0))):.4f}")
    for name in rows[0]:
        each = np.array([row[name] for row in rows])
        mean, se = each.mean(), each.std(ddof=1) / len(each) ** 0.5
        print(f"{name:18s} {mean:.4f} +- {se:.4f}, {each.min():.4f} to {each.max():.4f}, median {np.median(each):.4f}")


if __name__ == "__main__":
    jax.config.update("jax_enable_x64", True)
    main(*sys.argv[1:])
