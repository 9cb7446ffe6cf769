"""Drifts that are stable by construction, learned from a damped pendulum of one link and of two.

The pendulum: links of length 1 / n, a mass of 1 at each end, gravity 9.81, friction .3 on each angle's rate. Data: 2,000
n states drawn evenly with angles within pi / 2 and rates within pi, where it does not turn over (as it would in the
published box of [-pi, pi]^2n, in which nothing stable can follow it), and their rates of change, from which drifts are
learned by least squares, 3,000 steps of Adam down a cosine from .01. Then 100 paths of 1,000 steps of .01 by Runge-Kutta,
from a quarter of the angles and an eighth of the rates: the mean distance from the true paths, and the largest size met
on any. At 10,000 states of twice the box the largest grad V . f + a V. Target: at most 1e-6, paths bounded, and the
distance of `LyapunovDrift` no more than the plain network's (Kolter & Manek 2019, arXiv:2001.06116; beside it Massaroli
et al. 2020, arXiv:2003.08063, and Chang et al. 2019, arXiv:1902.09689).

With noise (Lawrence et al. 2020, arXiv:2103.14722): the pendulum of one link under noise of .1 and .5 on angle and rate,
40 series of 20 data .1 apart, angle and rate seen with errors of .05; drifts learned by the evidence of an extended
Kalman filter, 300 steps. At 10,000 states the largest LV + a V - b, target at most 1e-6; the mean log density of a datum
of 20 fresh series, and the largest mean square of the states over 1,000 noisy steps of .05 from angles and rates of +-
pi.

    python examples/stable_pendulum.py [results.jsonl] [seeds]
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

SEEDS = tuple(range(3))
STEPS, NOISY_STEPS, RATE, BATCH, WIDTH = 3000, 300, 1e-2, 200, 50
SPREAD, ERROR = np.array([0.1, 0.5]), 0.05
GRAVITY, FRICTION, H, LENGTH, PATHS, STATES = 9.81, 0.3, 0.01, 1000, 100, 10_000


def pendulum(t, x, u):
    """The rates of the angles (from the vertical, each its own) and of their rates."""
    angles, rates = jnp.split(x, 2)
    n = angles.shape[0]
    number = np.arange(n)
    below = (n - np.maximum(number[:, None], number)) / n**2  # masses beyond both joints, times the lengths
    apart = angles[:, None] - angles
    forces = below * jnp.sin(apart) @ rates**2 + GRAVITY / n * (n - number) * jnp.sin(angles) + FRICTION * rates
    return jnp.concatenate([rates, -jnp.linalg.solve(below * jnp.cos(apart), forces)])


def drifts(links, seed, width=WIDTH):
    """The untrained drifts, by name."""
    keys, n = jax.random.split(jax.random.key(seed), 6), 2 * links
    plain = lambda key: fl.NetworkDrift(n, width=width, depth=2, scale=5.0, pull=0.0, key=key)  # noqa: E731
    function = fl.LyapunovFunction(n, width=width, depth=2, floor=1e-3, key=keys[1])
    return {
        "NetworkDrift": plain(keys[0]),
        "LyapunovDrift": fl.LyapunovDrift(plain(keys[0]), function, 1e-3),
        "PortHamiltonianDrift": fl.PortHamiltonianDrift(n, width=width, depth=2, stiffness=jnp.ones(()), key=keys[3]),
        "AntisymmetricDrift": fl.AntisymmetricDrift(n, scale=5.0 * jnp.ones(()), key=keys[4]),
    }


class Rates(eqx.Module):
    """Squared distance from the true rates at one state."""

    def loss(self, module, series, key):
        x, rates = series
        return jnp.sum((module(0.0, x, None) - rates) ** 2)


def box(links, size, seed):
    """States drawn evenly: angles within pi / 2, rates within pi."""
    ends = np.pi * np.repeat([0.5, 1.0], links)
    return jnp.asarray(np.random.default_rng(seed).uniform(-ends, ends, (size, 2 * links)))


def trained(drift, links, seed, steps):
    """The drift after so many steps."""
    xs = box(links, 2000 * links, seed)
    data = xs, jax.vmap(lambda x: pendulum(0.0, x, None))(xs)
    return fl.train(Rates(), drift, data, optimiser=descent(steps), steps=steps, batch=BATCH, key=jax.random.key(seed)).module


def descent(steps):
    """Adam down a cosine, its gradients clipped."""
    return optax.chain(optax.clip_by_global_norm(1.0), optax.adam(optax.cosine_decay_schedule(RATE, max(steps, 1))))


@eqx.filter_jit
def paths(drift, starts):
    """`(paths, steps, 2 n)` by Runge-Kutta."""
    scheme = fl.RungeKutta(fl.SDE(drift, jnp.zeros(starts.shape[1], starts.dtype)), steps=1)
    zero = jnp.zeros(scheme.noise_shape(starts[0]), starts.dtype)

    def one(x, _):
        x = jax.vmap(lambda x: scheme.push(x, 0.0, H, None, zero))(x)
        return x, x

    return jnp.swapaxes(jax.lax.scan(one, starts, length=LENGTH)[1], 0, 1)


def rolled(drift, links, seed):
    """(mean distance from the true paths, the largest size met)."""
    starts = box(links, PATHS, 1000 + seed) * np.repeat([0.25, 0.125], links)
    found, true = paths(drift, starts), paths(pendulum, starts)
    size = jnp.nan_to_num(jnp.abs(found), nan=jnp.inf).max()
    return float(jnp.linalg.norm(found - true, axis=-1).mean()), float(size)


@eqx.filter_jit
def worst(drift, states):
    """The largest grad V . f + a V."""

    def violation(x):
        level, slope = jax.value_and_grad(drift.function)(x)
        return slope @ drift(0.0, x, None) + drift.rate * level

    return jax.vmap(violation)(states).max()


def rows(links, seed, steps=STEPS):
    """{name: its scores} of a seed."""
    out = {}
    for name, drift in drifts(links, seed).items():
        begun = time.perf_counter()
        learned = trained(drift, links, seed, steps)
        seconds = time.perf_counter() - begun
        distance, size = rolled(learned, links, seed)
        out[name] = {"distance": distance, "size": size, "untrained": rolled(drift, links, seed)[0], "seconds": seconds}
        if name == "LyapunovDrift":
            out[name]["violation"] = float(worst(learned, 2 * box(links, STATES, 2000 + seed)))
    out["stays where it is"] = {"distance": rolled(still, links, seed)[0]}
    return out


def noisy(drift, steps=1):
    """The model of a drift under noise."""
    moved = fl.RungeKutta(fl.SDE(drift, SPREAD), steps=steps)
    seen = fl.LinearGaussianObservation(jnp.eye(2), ERROR**2 * jnp.eye(2))
    start = fl.Gaussian(jnp.zeros(2), jnp.eye(2), time=0.0)
    return fl.StateSpaceModel(start, moved, seen)


def series(number, seed):
    """Stacked series of the true pendulum, simulated with a tenth of the step."""
    times = 0.1 * jnp.arange(1.0, 21.0)
    keys = jax.random.split(jax.random.key(seed), number)
    values = jax.vmap(lambda key: fl.simulate(noisy(pendulum, 10), times, key=key)[1])(keys)
    return fl.stacked([fl.Dataset(times, each) for each in values])


@eqx.filter_jit
def growth(drift, states):
    """The largest LV + a V - b, the generator by the trace of a product."""

    def violation(x):
        level, slope = jax.value_and_grad(drift.function)(x)
        spreading = 0.5 * jnp.trace(jnp.diag(SPREAD**2) @ jax.hessian(drift.function)(x))
        return slope @ drift(0.0, x, None) + spreading + drift.rate * level - drift.bound(0.0, None)

    return jax.vmap(violation)(states).max()


@eqx.filter_jit
def spread_of(drift, key):
    """The largest mean square of 200 noisy paths over 1,000 steps of .05, from angles and rates of +- pi."""
    move = noisy(drift).transition
    corners = jnp.pi * jnp.array([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]])

    def one(x, key):
        x = move.sample_many(x, 0.0, 0.05, key=key)
        return x, jnp.mean(jnp.sum(x**2, axis=1))

    return jax.lax.scan(one, jnp.tile(corners, (50, 1)), jax.random.split(key, LENGTH))[1].max()


def noisy_rows(seed, steps=NOISY_STEPS):
    """{name: its scores} under noise."""
    plain = drifts(1, seed, width=20)["NetworkDrift"]
    function = fl.LyapunovFunction(2, width=20, floor=1e-3, key=jax.random.key(100 + seed))
    stable = fl.StochasticLyapunovDrift(noisy(plain).transition.sde, function, 1e-3)
    objective, data, fresh = fl.Evidence(noisy, fl.ExtendedKalman()), series(40, seed), series(20, 5000 + seed)
    out = {}
    for name, drift in {"NetworkDrift": plain, "StochasticLyapunovDrift": stable}.items():
        learned = fl.train(
            objective, drift, data, optimiser=descent(steps), steps=steps, batch=10, key=jax.random.key(seed)
        ).module
        score = eqx.filter_jit(lambda drift: -jnp.mean(jax.vmap(lambda d: objective.loss(drift, d, None))(fresh)) / 20)
        out[name] = {"score": float(score(learned)), "untrained": float(score(drift))}
        out[name]["mean square"] = float(spread_of(learned, jax.random.key(seed)))
        if name != "NetworkDrift":
            states = 2 * box(1, STATES, 2000 + seed)
            out[name]["violation"] = float(growth(learned, states))
    out["truth"] = {"score": float(score(pendulum)), "mean square": float(spread_of(pendulum, jax.random.key(seed)))}
    out["stays where it is"] = {"score": float(score(still))}
    return out


def still(t, x, u):
    """No rate."""
    return 0 * x


def main(path="results/stable_pendulum.jsonl", seeds=3):
    """Prints the table and writes the scores of each seed."""
    with open(path, "w") as file:
        for task in ("one link", "two links", "noise"):
            for seed in SEEDS[: int(seeds)]:
                found = noisy_rows(seed) if task == "noise" else rows(1 + (task == "two links"), seed)
                for name, row in found.items():
                    file.write(json.dumps({"task": task, "seed": seed, "name": name, **row}) + "\n")
                    print(task, seed, f"{name:24s}", {key: float(f"{value:.3g}") for key, value in row.items()}, flush=True)


if __name__ == "__main__":
    jax.config.update("jax_enable_x64", True)
    main(*sys.argv[1:])
