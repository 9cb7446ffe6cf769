"""Predictions of networks that learned a population's drift: a deep ensemble against its members.

Lynx and hare pelts 1845-1935 (needs FILTERLEARN_DATA), logarithms: the first 30 rows to learn from, the others to predict
one step ahead. And a Lotka-Volterra path seen 90 times with 5 % noise: 22 rows to learn from, little more than one round, the
others to predict five rows ahead, from every fifth row. dz = N(z) dt + diag(s) dW, seen with noise: a network of 16 units, s
and the noise, trained by `train_ensemble` on the evidence of an extended Kalman filter, ten members from draws of the
prior. Plain, and anchored: half the square of a member's distance from its draw is added to the loss (Pearce, Leibfried,
Brintrup, Zaki & Neely 2020, arXiv:1810.05546). Narrow: plain, its drifts begun at 2 / 3 of the size.

Scores: mean log density of a row (two numbers), and the share of numbers inside central 90 % intervals. Target: the ensemble
covers 85 to 95 % and beats one plain network, on average, by .1 nat (Lakshminarayanan, Pritzel & Blundell 2017,
arXiv:1612.01474; Yildiz, Heinonen & Lahdesmaki 2019, arXiv:1905.10994). Settings were chosen on Lotka-Volterra, other seeds.

    python examples/lynx_and_hare.py [results.jsonl]
"""

import functools
import json
import os
import sys
import time
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from scipy.integrate import solve_ivp

import filterlearn as fl

MEMBERS = 10
LEARN, AHEAD = {"pelts": 30, "Lotka-Volterra": 22}, {"pelts": 1, "Lotka-Volterra": 5}
WAYS = {
    "plain": (0.0, 1.5),
    "narrow": (0.0, 1.0),
    "anchored": (1.0, 1.5),
}  # pull of the anchor, size of the first drift


def pelts(seed):
    """Logarithms of thousands, by year, whatever the seed."""
    table = np.genfromtxt(Path(os.environ["FILTERLEARN_DATA"]) / "lynx_hare.csv", delimiter=",", skip_header=1)
    return fl.Dataset(table[:, 0] - table[0, 0], np.log(table[:, 1:]))


def volterra(seed):
    """Logarithms of predators and prey with noise of 5 %."""
    slope = lambda t, z: [1.3 - 0.9 * np.exp(z[1]), -1.8 + 0.8 * np.exp(z[0])]  # noqa: E731
    times = 0.3 * np.arange(90)
    path = solve_ivp(slope, (0, times[-1]), [0.5, 0.8], t_eval=times, rtol=1e-9).y.T
    return fl.Dataset(times, path + 0.05 * np.random.default_rng(seed).normal(size=path.shape))


SERIES = {"pelts": pelts, "Lotka-Volterra": volterra}


class Learnable(eqx.Module):
    """The drift, and the logs of both noises."""

    drift: fl.NetworkDrift
    moving: jax.Array
    seen: jax.Array


def untrained(key, size):
    """A member."""
    drift = fl.NetworkDrift(2, width=16, scale=size, pull=0.0, key=key)
    return Learnable(drift, jnp.full(2, np.log(0.3)), jnp.full(2, np.log(0.2)))


class Model(eqx.Module):
    """The model of a member, around the first row."""

    first: jax.Array

    def __call__(self, member):
        move = fl.EulerMaruyama(fl.SDE(member.drift, jnp.exp(member.moving)), steps=4)
        seen = fl.LinearGaussianObservation(jnp.eye(2), jnp.diag(jnp.exp(2 * member.seen)))
        return fl.StateSpaceModel(fl.Gaussian(self.first, 0.1, time=0.0), move, seen)


class Anchored(fl.AbstractObjective):
    """Minus the log evidence, and `pull` times half the square of the distance of a member from where it began."""

    evidence: fl.Evidence
    pull: float

    def loss(self, module, series, key):
        member, begun = module
        apart = jax.tree.map(lambda w, w0: jnp.sum((w - jax.lax.stop_gradient(w0)) ** 2), *map(floats, (member, begun)))
        return self.evidence.loss(member, series, key) + 0.5 * self.pull * sum(jax.tree.leaves(apart))


def floats(tree):
    """What is trained."""
    return eqx.filter(tree, eqx.is_inexact_array)


@functools.cache
def adam(steps):
    """The same object for the same steps, so that one compiles for all."""
    return optax.adam(optax.cosine_decay_schedule(0.02, max(steps, 1)))


def sparse(data, learn, ahead, phase):
    """The rows to learn from, and every so manieth of the others."""
    late = np.arange(len(data)) - learn
    hidden = (late >= 0) & (late % ahead != phase)
    return fl.Dataset(data.times, np.where(hidden[:, None], np.nan, data.values)), (late >= 0) & ~hidden


def scored(name, data, seed, way, steps):
    """(log density of a row by a member on average, by the ensemble, share inside) of the rows to predict."""
    build, (pull, size), learn = Model(data.values[0]), WAYS[way], LEARN[name]
    each = eqx.filter_vmap(untrained)(jax.random.split(jax.random.key(seed), MEMBERS), jnp.full(MEMBERS, size))
    loss = Anchored(fl.Evidence(build, fl.ExtendedKalman()), jnp.asarray(pull))
    given = {"optimiser": adam(steps), "steps": steps, "key": jax.random.key(seed + 1)}
    module = fl.train_ensemble(loss, (each, each), fl.stacked([data[:learn]]), **given).module[0]
    found = []
    for phase in range(AHEAD[name]):
        seen, late = sparse(data, learn, AHEAD[name], phase)
        out = fl.blend(build, module, fl.ExtendedKalman(), seen)
        inside = np.abs(np.asarray(out.pit)[late] - 0.5) < 0.45
        found.append(np.stack([np.mean(out.members, axis=0)[late], np.asarray(out.log_score)[late], inside.mean(1)]))
    return np.concatenate(found, axis=1).mean(1).tolist()


def trivial(name, data):
    """A random walk of the logarithms, its covariance that of the steps to learn from."""
    values, learn, ahead = np.asarray(data.values), LEARN[name], AHEAD[name]
    steps = values[ahead:] - values[:-ahead]
    early, late = steps[: learn - ahead], steps[learn - ahead :]
    law = np.cov(early.T, bias=True)
    return float(
        np.mean(-0.5 * np.einsum("ti,ij,tj->t", late, np.linalg.inv(law), late) - 0.5 * np.linalg.slogdet(2 * np.pi * law)[1])
    )


def row(name, seed, steps=500, ways=tuple(WAYS)):
    """The scores of a series: of a random walk, and of the ensembles."""
    data, begun = SERIES[name](seed), time.process_time()
    found = {way: scored(name, data, seed, way, steps) for way in ways}
    return {"series": name, "seed": seed, "walk": trivial(name, data), **found, "seconds": time.process_time() - begun}


def main(path="results/lynx_and_hare.jsonl"):
    """Prints the scores and writes a line for each series and seed."""
    with open(path, "w") as file:
        for name, seeds in {"pelts": (1,), "Lotka-Volterra": (1, 2, 3, 4)}.items():
            for steps in (0, 500):
                table = [row(name, seed, steps) for seed in seeds]
                file.writelines(json.dumps({"steps": steps, **found}) + "\n" for found in table)
                walk, seconds = (np.mean([found[part] for found in table]) for part in ("walk", "seconds"))
                print(f"{name}, {steps} steps: walk {walk:.3f}, {seconds:.0f} s a seed")
                for way in WAYS:
                    mean = np.mean([found[way] for found in table], axis=0)
                    print("  {}: member {:.3f}, ensemble {:.3f}, inside {:.1%}".format(way, *mean), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
