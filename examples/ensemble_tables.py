"""Ensemble and particle filters on Lorenz-63 and Lorenz-96 against the field's tables.

Analysis RMSE: the mean over time, after burn-in, of the spatial root-mean-square error of the analysis mean; 1,001 analyses;
the mean over seeds 0 to 9 and its standard error. References: the settings of Sakov, Oliver & Bertino (2012,
doi:10.1175/MWR-D-11-00176.1) and Sakov & Oke (2008, doi:10.1175/2007MWR2021.1) as scored by the DAPPER library
(doi:10.5281/zenodo.2029296).

    python examples/ensemble_tables.py [results.jsonl]
"""

import json
import sys

import jax
import jax.numpy as jnp
import numpy as np

import filterlearn as fl

SEEDS = tuple(range(10))
ANALYSES = 1001


def lorenz63():
    """Lorenz-63 observed every .25, R = 2 I, in Runge-Kutta steps of .01: (model, gap, burn-in in analyses)."""

    def drift(t, x, u):
        return jnp.stack([10 * (x[1] - x[0]), x[0] * (28 - x[2]) - x[1], x[0] * x[1] - 8 / 3 * x[2]])

    start = fl.Gaussian([1.509, -1.531, 25.46], 2.0, time=0.0)
    seen = fl.LinearGaussianObservation(jnp.eye(3), 2.0 * jnp.eye(3))
    return fl.StateSpaceModel(start, fl.RungeKutta(fl.SDE(drift, jnp.zeros(3)), steps=25), seen), 0.25, 64


def lorenz96(n=40):
    """Lorenz-96, F = 8, every variable observed at every Runge-Kutta step of .05, R = I."""

    def drift(t, x, u):
        return (jnp.roll(x, -1) - jnp.roll(x, 2)) * jnp.roll(x, 1) - x + 8.0

    start = fl.Gaussian(jnp.zeros(n).at[0].set(1.0), 0.001, time=0.0)
    seen = fl.LinearGaussianObservation(jnp.eye(n), jnp.eye(n))
    return fl.StateSpaceModel(start, fl.RungeKutta(fl.SDE(drift, jnp.zeros(n)), steps=1), seen), 0.05, 400


def ring(n=40):
    """Distances on a circle of n points."""
    gap = np.abs(np.arange(n)[:, None] - np.arange(n)[None])
    return np.minimum(gap, n - gap)


# name: (system, algorithm, reference, what the mean must be within)
TABLE = {
    "B1 perturbed, N = 100": (lorenz63, lambda: fl.EnsembleKalman(100, fl.Perturbed(), 1.01), 0.56, 0.04),
    "B2 transform, N = 10": (lorenz63, lambda: fl.EnsembleKalman(10, fl.Rotated(fl.Transform()), 1.02), 0.60, 0.04),
    "B3 particles, N = 800": (
        lorenz63,
        lambda: fl.ParticleFilter(800, fl.Adaptive(fl.Regularised(fl.Systematic(), 0.9), 0.2)),
        0.28,
        0.04,
    ),
    "B4 perturbed, N = 40": (lorenz96, lambda: fl.EnsembleKalman(40, fl.Perturbed(), 1.06), 0.22, 0.01),
    "B5 deterministic, N = 40": (lorenz96, lambda: fl.EnsembleKalman(40, fl.Deterministic(), 1.01), 0.18, 0.01),
    "B6 transform, N = 24": (lorenz96, lambda: fl.EnsembleKalman(24, fl.Rotated(fl.Transform()), 1.013), 0.18, 0.02),
    "B7 local, N = 7": (lorenz96, lambda: fl.EnsembleKalman(7, fl.Rotated(fl.Local(ring(), 4.0)), 1.04), 0.22, 0.01),
    "B8 finite-size, N = 24": (lorenz96, lambda: fl.EnsembleKalman(24, fl.Rotated(fl.FiniteSize())), 0.21, 0.015),
}


def score(system, make, seed, analyses=ANALYSES):
    """Analysis RMSE of one seed; of the observations too, as the trivial baseline."""
    model, gap, burn = system()
    times = gap * jnp.arange(1, analyses + 1)
    first, second = jax.random.split(jax.random.key(seed))
    truth, values = fl.simulate(model, times, key=first)
    means = fl.run(make(), model, fl.Dataset(times, values), key=second, save=lambda belief, info: belief.mean).saved

    def error(estimate):
        return float(jnp.mean(jnp.sqrt(jnp.mean((estimate - truth) ** 2, axis=1))[burn:]))

    return error(means), error(values)


def main(path="results/ensemble_tables.jsonl"):
    """Prints the table and writes the score of each seed."""
    print(f"{'analysis RMSE, 10 seeds':28s} {'raw':>6s} {'ours':>7s} {'se':>6s} {'reference':>9s} {'within':>6s}")
    with open(path, "w") as file:
        for name, (system, make, reference, within) in TABLE.items():
            scores = np.array([score(system, make, seed) for seed in SEEDS])
            for seed, (ours, raw) in zip(SEEDS, scores, strict=True):
                file.write(json.dumps({"name": name, "seed": seed, "rmse": ours, "raw": raw}) + "\n")
            mean, se = scores[:, 0].mean(), scores[:, 0].std(ddof=1) / len(SEEDS) ** 0.5
            print(f"{name:28s} {scores[:, 1].mean():6.3f} {mean:7.3f} {se:6.4f} {reference:9.3f} {within:6.3f}", flush=True)


if __name__ == "__main__":
    jax.config.update("jax_enable_x64", True)
    main(*sys.argv[1:])
