"""Simulation-based calibration of every method on a linear SDE, with the right observation noise and with 1.5 times it.

dx = -rate x dt + scale dW, y = x + N(0, .3), 40 irregular times, rate and scale unknown: in each of 200 worlds they are drawn
from their prior, and ranked among 99 draws of the posterior given the data (Talts et al. 2018, arXiv:1804.06788). Target: the
ranks are uniform, p > .01 for each parameter, for every exact method; with the noise believed to be 1.5 times what it is, p <
.01 for one.

    python examples/calibration.py [results.jsonl [method ...]]
"""

import json
import sys
import time

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist

import filterlearn as fl

NOISE, WRONG, LEAST = 0.3, 1.5, 0.01
TIMES = np.cumsum(np.random.default_rng(0).uniform(0.1, 0.6, 40))
METHODS = {  # with the algorithm whose evidence each takes, and whether its draws are exact
    "NUTS": (fl.NUTS(200, 400, 1), fl.Kalman(), True),
    "NumPyroNUTS": (fl.NumPyroNUTS(200, 400, 1), fl.Kalman(), True),
    "MCLMC": (fl.MCLMC(400, 800, 1), fl.Kalman(), True),
    "SMC": (fl.SMC(1000, 20, 1), fl.Kalman(), True),
    "ParticleMCMC": (fl.ParticleMCMC(500, 2000, 1), fl.ParticleFilter(60), True),
    "ParticleGibbs": (fl.ParticleGibbs(200, 1000, 1), fl.ParticleFilter(30), True),
    "Laplace": (fl.Laplace(1000, 1), fl.Kalman(), False),
    "Pathfinder": (fl.Pathfinder(1000, 4), fl.Kalman(), False),
    "SVI": (fl.SVI(), fl.Kalman(), False),
}


def family(noise):
    """The equation seen with a noise of this variance."""

    def build(p):
        move = fl.LinearSDE(-p["rate"][None, None], p["scale"][None, None])
        return fl.StateSpaceModel(fl.Gaussian([0.0], 1.0, time=0.0), move, fl.LinearGaussianObservation([[1.0]], [[noise]]))

    prior = dist.LogNormal(jnp.zeros(()), 0.5)
    return fl.ModelFamily(build, {"rate": fl.Parameter(prior), "scale": fl.Parameter(prior)})


def row(name, scale, replicates=200, seed=0):
    """p-values, coverage and notes of a method that believes in a noise of `scale` times the true one."""
    begun, (method, algorithm, exact) = time.perf_counter(), METHODS[name]
    world, believed = family(NOISE), family(scale * NOISE)
    found = fl.calibrate(believed, TIMES, algorithm, method, truth=world, replicates=replicates, key=jax.random.key(seed))
    scores = {"p": found.p_values, "in_90": found.coverage(0.9), "words": found.words, "notes": found.notes}
    return {"method": name, "noise": scale, "exact": exact} | scores | {"seconds": time.perf_counter() - begun}


def main(path="results/calibration.jsonl", *names):
    """Prints the table of all methods, or of those named, the exact ones with the wrong noise too, and writes its rows."""
    with open(path, "w") as file:
        for name in names or METHODS:
            for scale in (1.0, WRONG) if METHODS[name][2] else (1.0,):
                found = row(name, scale)
                file.write(json.dumps(found) + "\n")
                told = "  ".join(f"{n} p {p:.2g}, {100 * found['in_90'][n]:.0f} % in 90 %" for n, p in found["p"].items())
                print(f"{name:14s} noise x {scale:3.1f}  {told}  {found['seconds']:.0f} s", flush=True)
                print(*(f"{'':16s}{line}\n" for line in (*found["words"], *found["notes"])), sep="", end="", flush=True)


if __name__ == "__main__":
    jax.config.update("jax_enable_x64", True)
    main(*sys.argv[1:])
