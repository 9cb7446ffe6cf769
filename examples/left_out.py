"""Three models of the Nile compared by what they predict: of a year left out, and of the future.

Annual flow 1871-1970. A level that walks; the same with a slope that walks too; a level that stays. Four chains of the
no-U-turn sampler each. Scores: elpd by PSIS on p(y_k | all others, theta), exact from the smoother, and of what follows the
first 40 years, with refits where a Pareto k is above .7 (Buerkner, Gabry & Vehtari 2020, doi:10.1080/00949655.2020.1783262).
Beside them PSIS on the one-step terms, which does not leave a year out: later terms still see it. Target: 95 % of Pareto k
below .7 on the exact terms (needs statsmodels).

    python examples/left_out.py [results.jsonl]
"""

import json
import sys

import arviz as az
import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist

import filterlearn as fl
from filterlearn import datasets

FIRST, GOOD, SHARE = 40, 0.7, 0.95


def seen(p, states):
    """The first state under noise."""
    return fl.LinearGaussianObservation(np.eye(1, states), p["noise"][None, None] ** 2)


def walking(p):
    """A level that walks."""
    return fl.StateSpaceModel(fl.Gaussian([1100.0], 1e5), fl.LinearDiscrete([[1.0]], p["level"][None, None] ** 2), seen(p, 1))


def sloping(p):
    """A level and its slope, both walk."""
    move = fl.LinearDiscrete([[1.0, 1.0], [0.0, 1.0]], jnp.diag(jnp.stack([p["level"], p["slope"]]) ** 2))
    return fl.StateSpaceModel(fl.Gaussian([1100.0, 0.0], [[1e5, 0.0], [0.0, 1e2]]), move, seen(p, 2))


def still(p):
    """A level that stays."""
    return fl.StateSpaceModel(fl.Gaussian([1100.0], 1e5), fl.LinearDiscrete([[1.0]], [[0.0]]), seen(p, 1))


def models():
    """{name: family}."""
    noise, level = {"noise": dist.LogNormal(5.0, 1.0)}, {"level": dist.LogNormal(3.5, 1.0)}
    slope = {"slope": dist.LogNormal(1.0, 1.0)}
    builds = {"level walks": (walking, noise | level), "level and slope walk": (sloping, noise | level | slope)}
    builds["level stays"] = (still, noise)
    return {
        name: fl.ModelFamily(build, {n: fl.Parameter(p) for n, p in priors.items()})
        for name, (build, priors) in builds.items()
    }


def compared(method, seed=0):
    """{score: {model: its ELPD}}: of a year left out, on the one-step terms, and of the future."""
    data, out = datasets.nile(), {"left out": {}, "one step": {}, "future": {}}
    for name, family in models().items():
        tree = fl.fit(family, data, fl.Kalman(), method, key=jax.random.key(seed))
        out["left out"][name] = az.loo(fl.leave_one_out(tree, family, data, fl.Kalman()), pointwise=True)
        out["one step"][name] = az.loo(tree, pointwise=True)
        out["future"][name] = fl.leave_future_out(
            tree, family, data, fl.Kalman(), method, first=FIRST, key=jax.random.key(seed + 1)
        )
    return out


def rows(out):
    """Of each score and model: elpd, its difference from the best with its standard error, share of good k, refits."""
    for score, found in out.items():
        table = az.compare(found, round_to="none")
        for name, each in found.items():
            good = float((np.nan_to_num(each.pareto_k) < GOOD).mean())
            numbers = {"elpd": float(each.elpd), "se": float(each.se), "difference": float(table["elpd_diff"][name])}
            numbers |= {"difference_se": float(table["dse"][name]), "good_k": good}
            yield {"score": score, "model": name, **numbers, "refits": int(getattr(each, "n_refits", None) or 0)}


def main(path="results/left_out.jsonl"):
    """Prints the table and writes its rows."""
    with open(path, "w") as file:
        for row in rows(compared(fl.NUTS(500, 1000, 4))):
            file.write(json.dumps(row) + "\n")
            found = f"{row['elpd']:8.1f} {row['difference']:7.1f} ± {row['difference_se']:.1f}"
            print(
                f"{row['score']:9s} {row['model']:22s} {found} good k {row['good_k']:.2f} refits {row['refits']}", flush=True
            )


if __name__ == "__main__":
    jax.config.update("jax_enable_x64", True)
    main(*sys.argv[1:])
