"""Least squares without derivatives: an ensemble that is drawn anew goes where one that is kept cannot.

Half the squared norm of A theta - b, A 120 x 100 normal over the root of 120, b = A theta*, from 0, ten members of scale
.01 about their mean, damping 1e-6, 2,000 undamped iterations, seeds 0 to 4 (Haber, Lucka & Ruthotto 2018,
arXiv:1805.08034). Target: a thousandth of the loss of classical ensemble Kalman inversion without perturbations.

    python examples/ensemble_training.py [results.jsonl]
"""

import json
import sys

import jax
import jax.numpy as jnp
import numpy as np

import filterlearn as fl

SEEDS, MEMBERS, SCALE, DAMPING, ITERATIONS = tuple(range(5)), 10, 0.01, 1e-6, 2000


def problem(seed):
    """theta -> A theta - b."""
    rng = np.random.default_rng(seed)
    a = jnp.asarray(rng.normal(size=(120, 100)) / np.sqrt(120))
    b = a @ rng.normal(size=100)
    return lambda theta: a @ theta - b


def kept(residual, key):
    """Classical inversion: the loss at the mean of an ensemble that is kept."""

    def moved(members, _):
        x, y = members - members.mean(0), (seen := jax.vmap(residual)(members)) - seen.mean(0)
        inner = y.T @ y / (MEMBERS - 1) + DAMPING * jnp.eye(y.shape[1])
        return members - jnp.linalg.solve(inner, seen.T).T @ (y.T @ x) / (MEMBERS - 1), None

    start = SCALE * jax.random.normal(key, (MEMBERS, 100))
    return 0.5 * jnp.sum(residual(jax.lax.scan(moved, start, length=ITERATIONS)[0].mean(0)) ** 2)


def scores(seed):
    """Losses: at the start, of the ensemble that is kept, of the one that is drawn anew."""
    residual, key, optimiser = problem(seed), jax.random.key(seed), fl.EnsembleOptimiser(MEMBERS, SCALE, DAMPING)
    theta, losses = jax.jit(lambda: optimiser.minimise(residual, jnp.zeros(100), ITERATIONS, key=key))()
    theirs = jax.jit(lambda: kept(residual, key))()
    return [float(losses[0]), float(theirs), float(0.5 * jnp.sum(residual(theta) ** 2))]


def main(path="results/ensemble_training.jsonl"):
    """Prints the table and writes the score of each seed."""
    print(f"{'seed':>4s} {'start':>8s} {'kept':>8s} {'drawn anew':>11s} {'ratio':>9s}")
    with open(path, "w") as file:
        for seed in SEEDS:
            start, theirs, ours = scores(seed)
            file.write(json.dumps({"seed": seed, "start": start, "kept": theirs, "anew": ours}) + "\n")
            print(f"{seed:4d} {start:8.1f} {theirs:8.1f} {ours:11.1e} {theirs / ours:9.0f}", flush=True)


if __name__ == "__main__":
    jax.config.update("jax_enable_x64", True)
    main(*sys.argv[1:])
