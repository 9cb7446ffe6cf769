"""The forcing of Lorenz-96 learned beside its forty variables by one ensemble, still and moving.

The system of `ensemble_tables.py`, with members drawn from x ~ N(e_1, .01 I) and F ~ N(7, 1); the truth starts with F = 8.
Learner: `Joint` around a transform filter of 50 members, inflation 1.02 on states and forcing alike. Score: the root
mean square error of the mean of F over cycles 200 to 1,000, the mean over seeds 0 to 9. F stays, or walks by N(0, .01^2) or
N(0, .1^2) in a cycle; the scale of the walk is known, or learned by a `Bank` of seven scales from .003 to .3.

    python examples/moving_forcing.py [results.jsonl]
"""

import functools
import json
import sys

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist

import filterlearn as fl

SEEDS, CYCLES, BURN, GAP, SIZE = tuple(range(10)), 1000, 200, 0.05, 40
JOINT = fl.Joint(fl.EnsembleKalman(50, fl.Transform(), 1.02))


def drift(forcing):
    """The rates of Lorenz-96."""
    return lambda t, x, u: (jnp.roll(x, -1) - jnp.roll(x, 2)) * jnp.roll(x, 1) - x + forcing


def build(p):
    """The model at one forcing."""
    start = fl.Gaussian(jnp.zeros(SIZE).at[0].set(1.0), 0.01, time=0.0)
    move = fl.RungeKutta(fl.SDE(drift(p["forcing"]), jnp.zeros(SIZE)), steps=1)
    return fl.StateSpaceModel(start, move, fl.LinearGaussianObservation(jnp.eye(SIZE), jnp.eye(SIZE)))


def family(scale):
    """A forcing that walks by N(0, scale^2) in a cycle."""
    return fl.ModelFamily(build, {"forcing": fl.Parameter(dist.Normal(7.0, 1.0), fl.RandomWalk(scale / GAP**0.5))})


def walking(problem, scale):
    """The family with another scale."""
    return eqx.tree_at(lambda f: f.parameters["forcing"].dynamics.scale, problem, scale / GAP**0.5)


BANK = fl.Bank(JOINT, walking, jnp.geomspace(0.003, 0.3, 7), 1e-3)
# name: (learner, the walk of the truth in a cycle, the family's, what the mean must be at most)
TABLE = {
    "still": (JOINT, 0.0, 0.0, 0.04),
    "walk .01, scale known": (JOINT, 0.01, 0.01, 0.065),
    "walk .1, scale known": (JOINT, 0.1, 0.1, 0.32),
    "walk .01, scale learned": (BANK, 0.01, 0.03, 0.075),
    "walk .1, scale learned": (BANK, 0.1, 0.03, 0.36),
}


@functools.partial(jax.jit, static_argnums=1)
def world(key, walk):
    """(data, the forcing of each cycle)."""
    first, second, third = jax.random.split(key, 3)
    forcing = 8.0 + walk * jnp.cumsum(jax.random.normal(first, (CYCLES,)))
    start = jnp.zeros(SIZE).at[0].set(1.0) + 0.1 * jax.random.normal(second, (SIZE,))

    def cycle(x, f):
        x = fl.RungeKutta(fl.SDE(drift(f), jnp.zeros(SIZE)), steps=1).push(x, 0.0, GAP, None, jnp.zeros((1, SIZE)))
        return x, x

    states = jax.lax.scan(cycle, start, forcing)[1]
    return states + jax.random.normal(third, states.shape), forcing


def score(name, seed):
    """Root mean square error of the forcing's mean."""
    learner, walk, scale, _ = TABLE[name]
    first, second = jax.random.split(jax.random.key(seed))
    values, forcing = world(first, walk)
    data = fl.Dataset(GAP * np.arange(1, CYCLES + 1), values)
    means = fl.run(learner, family(scale), data, key=second, save=lambda belief, info: belief.parameters.mean[0]).saved
    return float(jnp.sqrt(jnp.mean((means - forcing)[BURN:] ** 2)))


def main(path="results/moving_forcing.jsonl"):
    """Prints the table and writes the score of each seed."""
    print(f"{'error of the forcing':28s} {'ours':>7s} {'se':>6s} {'at most':>8s}")
    with open(path, "w") as file:
        for name, (*_, most) in TABLE.items():
            scores = np.array([score(name, seed) for seed in SEEDS])
            for seed, error in zip(SEEDS, scores, strict=True):
                file.write(json.dumps({"name": name, "seed": seed, "error": error}) + "\n")
            print(f"{name:28s} {scores.mean():7.3f} {scores.std(ddof=1) / len(SEEDS) ** 0.5:6.4f} {most:8.3f}", flush=True)


if __name__ == "__main__":
    jax.config.update("jax_enable_x64", True)
    main(*sys.argv[1:])
