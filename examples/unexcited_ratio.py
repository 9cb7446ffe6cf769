"""Two parameters of which only the product shows: y = a b u + e.

5,000 steps, u ~ N(0, 1) known, e of sd .5, log a and log b with priors N(0, .25). The product has to be learned, and the
ratio, of which the data tell nothing, to be flagged within 200 steps, its sd within 10 % of the exact posterior's (by
quadrature), and never above the prior's while the learner forgets. Seeds 0 to 4.

    python examples/unexcited_ratio.py [results.jsonl]
"""

import json
import sys

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist

import filterlearn as fl

SEEDS, EARLY, MEMORY = tuple(range(5)), 200, 100.0
LEARNERS = {
    "Joint(ExtendedKalman())": fl.Joint(fl.ExtendedKalman()),
    "natural gradient": fl.RecursiveMaximumLikelihood(fl.Kalman(), fl.natural_gradient()),
}
STEPS, PRIOR = 5000, dist.LogNormal(0.0, 0.5)


def product_family(motion):
    """y = a b u + e."""

    def build(p):
        still = fl.LinearDiscrete([[0.0]], [[0.0]])
        seen = fl.LinearGaussianObservation([[0.0]], [[0.25]], lambda t, u: p["a"] * p["b"] * u)
        return fl.StateSpaceModel(fl.Gaussian([0.0], 0.0), still, seen)

    return fl.ModelFamily(build, {name: fl.Parameter(PRIOR, motion) for name in "ab"})


def data(seed=0, steps=STEPS):
    """a = 1.3, b = .7."""
    rng = np.random.default_rng(seed)
    inputs = rng.normal(size=(steps, 1))
    return fl.Dataset(np.arange(float(steps)), 1.3 * 0.7 * inputs + 0.5 * rng.normal(size=(steps, 1)), inputs)


def grid_sds(family, stream):
    """Exact posterior sds of (log a + log b, log a - log b) / sqrt 2, by quadrature: the data enter by two sums."""
    y, u = np.asarray(stream.values)[:, 0], np.asarray(stream.inputs)[:, 0]
    ratio = np.linspace(-4.0, 4.0, 801)
    product = np.log((y @ u) / (u @ u)) / 2**0.5 + np.linspace(-0.3, 0.3, 801)
    s, r = np.meshgrid(product, ratio, indexing="ij")
    thetas = np.stack([s + r, s - r]) / 2**0.5
    log = -0.5 * (((thetas - np.asarray(family.median)[:, None, None]) / np.asarray(family.sd)[:, None, None]) ** 2).sum(0)
    c = np.exp(2**0.5 * s)
    log += (c * (y @ u) - c**2 * (u @ u) / 2) / 0.25
    weights = np.exp(log - log.max()) / np.exp(log - log.max()).sum()
    return [np.sqrt((weights * (v - (weights * v).sum()) ** 2).sum()) for v in (s, r)]


def sds(belief, info):
    """(sds of the product and the ratio, as in `grid_sds`; mean of theta)."""
    turn = jnp.array([[1.0, 1.0], [1.0, -1.0]]) / 2**0.5
    return jnp.sqrt(jnp.diagonal(turn @ belief.parameters.covariance @ turn.T)), belief.parameters.mean


def scores(learner, seed):
    """(sds of product and ratio over the exact ones, error of the product in its sds, the ratio's variance over the prior's
    after 200 steps, how many directions are flagged then; the largest sd of the ratio over the prior's under forgetting)."""
    family, stream = product_family(fl.Static()), data(seed)
    found, mean = (np.asarray(part)[-1] for part in fl.run(learner, family, stream, save=sds).saved)
    exact = grid_sds(family, stream)
    off = (mean.sum() - np.log(1.3 * 0.7)) / 2**0.5 / exact[0]
    early = fl.excitation(family, fl.run(learner, family, data(seed, EARLY), save=lambda b, i: None).last)
    forgetting = product_family(fl.Forgetting(MEMORY))
    kept = np.asarray(fl.run(learner, forgetting, stream, save=sds).saved[0])[:, 1].max()
    prior = float(jnp.sqrt(jnp.mean(family.sd**2)))
    return [*(found / exact), off, float(early.ratios[0]), len(early.unexcited()), kept / prior]


def main(path="results/unexcited_ratio.jsonl"):
    """Prints the table and writes the score of each seed."""
    heads = ("learner", "sd of product", "of ratio", "off, sds", "var / prior", "flagged", "forgetting")
    print("{:26s} {:>13s} {:>9s} {:>9s} {:>11s} {:>8s} {:>11s}".format(*heads))
    with open(path, "w") as file:
        for name, learner in LEARNERS.items():
            rows = np.array([scores(learner, seed) for seed in SEEDS])
            for seed, row in zip(SEEDS, rows, strict=True):
                file.write(json.dumps({"name": name, "seed": seed, "scores": list(row)}) + "\n")
            mean = rows.mean(0)
            worst = abs(rows[:, 2]).max()
            print(f"{name:26s} {mean[0]:13.4f} {mean[1]:9.4f} {worst:9.2f} {mean[3]:11.4f} {mean[4]:8.1f} {mean[5]:11.4f}")


if __name__ == "__main__":
    jax.config.update("jax_enable_x64", True)
    main(*sys.argv[1:])
