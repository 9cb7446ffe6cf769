"""One posterior by every method, against quadrature of the same evidence.

The Nile 1871-1970 under a local level model with its exact diffuse start: the two standard deviations by the Kalman filter.
And rho of a noisy Lorenz-63 of which one coordinate is seen at 200 irregular times (sigma 10, rho 28, beta 8/3, unit noises,
gaps U(.02, .08)): by the extended filter in two Runge-Kutta steps for each gap, for particle MCMC by a particle filter, whose
evidence is the exact one.

Targets: a sampler's means and sds within five Monte Carlo errors and R-hat below 1.01; SVI and Pathfinder within .25
posterior sds of the mean and 20 % of the sd.

    python examples/every_method.py [results.jsonl]
"""

import json
import sys
import time

import arviz as az
import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist

import filterlearn as fl
from filterlearn import datasets

EXACT = {
    "NUTS": fl.NUTS(500, 1000, 4),
    "NumPyroNUTS": fl.NumPyroNUTS(500, 1000, 4),
    "MCLMC": fl.MCLMC(1000, 4000, 4),
    "SMC": fl.SMC(chains=4),
}
APPROXIMATE = {"Pathfinder": fl.Pathfinder(), "SVI": fl.SVI(), "Laplace": fl.Laplace()}


def nile():
    """(family, data, algorithm, grids of the unconstrained parameters)."""

    def build(p):
        step = fl.LinearDiscrete([[1.0]], p["level"][None, None] ** 2)
        seen = fl.LinearGaussianObservation([[1.0]], p["noise"][None, None] ** 2)
        return fl.StateSpaceModel(fl.Diffuse(1), step, seen)

    priors = {"level": dist.LogNormal(3.5, 1.0), "noise": dist.LogNormal(5.0, 1.0)}
    family = fl.ModelFamily(build, {name: fl.Parameter(prior) for name, prior in priors.items()})
    return family, datasets.nile(), fl.Kalman(), [jnp.linspace(1.2, 5.6, 100), jnp.linspace(4.2, 5.3, 100)]


def lorenz(seed=0):
    """The same of a partly seen Lorenz-63."""

    def build(p, steps=2):
        def drift(t, x, u):
            return jnp.stack([10 * (x[1] - x[0]), x[0] * (p["rho"] - x[2]) - x[1], x[0] * x[1] - 8 / 3 * x[2]])

        start = fl.Gaussian([1.509, -1.531, 25.46], 2.0, time=0.0)
        seen = fl.LinearGaussianObservation([[1.0, 0.0, 0.0]], [[1.0]])
        return fl.StateSpaceModel(start, fl.RungeKutta(fl.SDE(drift, jnp.ones(3)), steps=steps), seen)

    times = np.cumsum(np.random.default_rng(seed).uniform(0.02, 0.08, 200))
    values = fl.simulate(build({"rho": 28.0}, 64), times, key=jax.random.key(seed))[1]
    family = fl.ModelFamily(build, {"rho": fl.Parameter(dist.Normal(25.0, 5.0))})
    return family, fl.Dataset(times, values), fl.ExtendedKalman(), [jnp.linspace(25.0, 31.0, 400)]


PROBLEMS = {"nile": nile, "lorenz": lorenz}


def quadrature(family, data, algorithm, axes):
    """Means and sds of the constrained parameters."""
    grid = jnp.stack(jnp.meshgrid(*axes, indexing="ij"), -1).reshape(-1, len(axes))
    level = jax.lax.map(lambda th: fl.log_evidence(algorithm, family(th), data) + family.log_prior(th), grid, batch_size=100)
    weights, values = jax.nn.softmax(level), jax.vmap(family.constrain)(grid)
    means = {name: float(weights @ values[name]) for name in family.names}
    return {name: (mean, float(weights @ (values[name] - mean) ** 2) ** 0.5) for name, mean in means.items()}


def score(problem, name, method):
    """For each parameter, how far off its mean is in posterior sds, and its sd as a share, with Monte Carlo errors."""
    family, data, algorithm, axes = PROBLEMS[problem]()
    wanted, start = quadrature(family, data, algorithm, axes), time.perf_counter()
    tree = fl.fit(family, data, algorithm, method, key=jax.random.key(1))
    took, draws = time.perf_counter() - start, tree["posterior"].to_dataset()
    errors, rows = {kind: az.mcse(draws, method=kind) for kind in ("mean", "sd")}, []
    for parameter, (mean, sd) in wanted.items():
        off = {"mean": (float(draws[parameter].mean()) - mean) / sd, "sd": float(draws[parameter].std()) / sd - 1}
        error = {f"{kind} error": float(each[parameter]) / sd for kind, each in errors.items()}
        told = {"R-hat": float(az.rhat(draws)[parameter]), "seconds": took}
        rows.append({"problem": problem, "method": name, "parameter": parameter} | off | error | told)
    return rows


def methods(problem):
    """Those that take the problem: MCLMC takes two parameters or more."""
    return {name: m for name, m in (EXACT | APPROXIMATE).items() if problem == "nile" or name != "MCLMC"}


def main(path="results/every_method.jsonl"):
    """Writes the score of each parameter, and prints the table."""
    print(f"{'':8s}{'':12s}{'':7s} {'mean off, sd':>16s} {'sd off, share':>16s} {'R-hat':>6s} {'s':>5s}")
    with open(path, "w") as file:
        for problem in PROBLEMS:
            for name, method in methods(problem).items():
                for row in score(problem, name, method):
                    print(json.dumps(row), file=file, flush=True)
                    cells = (f"{row[kind]:8.3f} +- {row[f'{kind} error']:.3f}" for kind in ("mean", "sd"))
                    print(
                        f"{problem:8s}{name:12s}{row['parameter']:7s} ", *cells, f"{row['R-hat']:6.3f} {row['seconds']:5.1f}"
                    )


if __name__ == "__main__":
    jax.config.update("jax_enable_x64", True)
    main(*sys.argv[1:])
