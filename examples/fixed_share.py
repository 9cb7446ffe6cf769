"""The regret of a fixed-share mixture over scales of motion, on 200 adversarial and real streams.

y = theta + e, theta a random walk of unknown scale: .02, .1, .5 or 2. Whatever the data, the log evidence of the `Bank` is
at least that of any sequence of scales that switches m times, less log K + m log(K / share) - (T - 1 - m) log(1 - share +
share / K): printed for 40 streams of each kind, 100 data, the least of evidence less bound over streams and m (target: none
below 0, to 1e-9 T), and the mean regret against the best single scale and against the best sequence.

    python examples/fixed_share.py [results.jsonl]
"""

import json
import sys

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist

import filterlearn as fl
from filterlearn import datasets

SCALES, LENGTH, SHARES = jnp.array([0.02, 0.1, 0.5, 2.0]), 100, (0.01, 0.3)
KINDS = ("Student noise, 1 to 4 degrees", "random walks", "waves", "alternating blocks", "the Nile's flow")


def walking(family, scale):
    """The family with another scale of motion."""
    return eqx.tree_at(lambda f: f.parameters["theta"].dynamics.scale, family, scale)


def level_family():
    """y = theta + e, theta a random walk."""

    def build(p):
        still = fl.LinearDiscrete([[0.0]], [[0.0]])
        return fl.StateSpaceModel(fl.Gaussian([0.0], 0.0), still, fl.LinearGaussianObservation([[0.0]], [[1.0]], p["theta"]))

    return fl.ModelFamily(build, {"theta": fl.Parameter(dist.Normal(jnp.zeros(1), 1.0), fl.RandomWalk(0.1))})


def streams():
    """200 of 100 data: noises of any tail, walks, waves, alternating blocks, and pieces of the Nile's flow; some missing."""
    rng, t = np.random.default_rng(0), np.arange(LENGTH)
    nile = np.asarray(datasets.nile().values)[:, 0]
    made = []
    for k in range(40):
        made.append(rng.standard_t(1 + k % 4, LENGTH))
        made.append(np.cumsum(rng.normal(size=LENGTH)) * 0.05 * (k + 1))
        made.append((k + 1) * np.sin(t / (1 + k)))
        made.append(np.where(t // (2 + k % 20) % 2, 5.0, -5.0) * rng.choice([0.1, 1.0, 10.0], LENGTH))
        made.append(np.roll((nile - nile.mean()) / nile.std(), k) * (1 + k / 4))
    values = np.array(made)
    values[::7, 30:40] = np.nan
    return values


def alone(values):
    """Log evidence of each setting by itself, `(K, T)`."""
    family, data = level_family(), fl.Dataset(np.arange(float(LENGTH)), values)
    save = lambda belief, info: info.log_evidence  # noqa: E731
    one = lambda scale: fl.run(fl.Joint(fl.ExtendedKalman()), walking(family, scale), data, save=save).saved  # noqa: E731
    return jax.vmap(one)(SCALES)


def together(values, share):
    data = fl.Dataset(np.arange(float(LENGTH)), values)
    return fl.log_evidence(fl.Bank(fl.Joint(fl.ExtendedKalman()), walking, SCALES, share), level_family(), data)


def best(evidence):
    """The largest evidence of any sequence of settings with 0, 1, ... switches."""
    found = np.full((evidence.shape[1], len(SCALES)), -np.inf)
    found[0] = evidence[:, 0]
    for column in evidence.T[1:]:
        ordered = np.sort(found, axis=1)
        others = np.where(found == ordered[:, -1:], ordered[:, -2:-1], ordered[:, -1:])  # the best of the other settings
        found[1:] = np.maximum(found[1:], others[:-1])
        found += column
    return found.max(1)


def allowed(length, share):
    """The bound on the regret against each number of switches."""
    k, switches = len(SCALES), np.arange(length)
    return np.log(k) + switches * np.log(k / share) - switches[::-1] * np.log(1 - share + share / k)


def scores(share):
    """(evidence less bound at its least, regret against one scale, against the best sequence) of each stream."""
    values = jnp.asarray(streams())
    evidence, ours = np.asarray(jax.vmap(alone)(values)), np.asarray(jax.vmap(lambda v: together(v, share))(values))
    rows = []
    for value, row, each in zip(np.asarray(values), evidence, ours, strict=True):
        found = best(row[:, ~np.isnan(value)])
        rows.append([(each - found + allowed(len(found), share)).min(), found[0] - each, found.max() - each])
    return np.array(rows)


def main(path="results/fixed_share.jsonl"):
    """Prints the table and writes the scores of each stream."""
    print(f"{'stream':32s} {'share':>6s} {'least margin':>13s} {'over one':>9s} {'over best':>10s}")
    with open(path, "w") as file:
        for share in SHARES:
            rows = scores(share)
            for seed, row in enumerate(rows):
                file.write(json.dumps({"share": share, "stream": seed, "scores": list(row)}) + "\n")
            for i, kind in enumerate(KINDS):
                own = rows[i::5]
                print(f"{kind:32s} {share:6.2f} {own[:, 0].min():13.3f} {own[:, 1].mean():9.3f} {own[:, 2].mean():10.3f}")


if __name__ == "__main__":
    jax.config.update("jax_enable_x64", True)
    main(*sys.argv[1:])
