"""Regression with jumps: a drift, the rate of jumps and the law of their marks, learned together from irregular noisy data.

dx = f(x) dt + .3 dW + dJ, f(x) = sin(2 x) - 1.5 x, jumps at rate .8 with marks N(1.5, .4^2), y = x + .1 e at 400 times with
gaps U(.05, .25). f is a Gaussian process of eight weights; the rate, the marks' mean and sd and the scale of the noise have
wide priors. The evidence is that of `GaussianSum(ExtendedKalman(), 2, parts=2)`: an early jump decays within its gap. The
posterior is Laplace's. Then the rate doubles, and `Nested` follows it, all else held: the alarm is given when it is above the
old rate with probability .99.

Targets: 90 % intervals of rate, mean and sd of the marks cover in 85 to 95 % of data sets; the Brier score of the probability
of a jump in each gap, given the data up to its end, within .02 of the filter's with the true parameters; the doubled rate is
caught within 50 jumps, with the false alarms on streams without a change told.

    python examples/jump_regression.py [results.jsonl] [data sets]
"""

import json
import sys

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
from scipy import stats

import filterlearn as fl

TRUTH = {"rate": 0.8, "mean": 1.5, "sd": 0.4, "noise": 0.3}
LENGTH, SEEN = 400, 0.1
FILTER = fl.GaussianSum(fl.ExtendedKalman(), 2, parts=2)
WATCH, WATCHED, STREAMS = fl.Nested(FILTER, 200, move=None), 1500, 20


def model(drift, p):
    """The jump diffusion, seen with noise."""
    marks = dist.Normal(p["mean"][None], p["sd"])
    sde = fl.SDE(drift, p["noise"][None, None], fl.CompoundPoisson(p["rate"], marks, most=2))
    seen = fl.LinearGaussianObservation([[1.0]], [[SEEN**2]])
    return fl.StateSpaceModel(fl.Gaussian([0.0], 1.0, time=0.0), fl.RungeKutta(sde, steps=2), seen)


def oracle():
    """The true model."""
    return model(lambda t, x, u: jnp.sin(2 * x) - 1.5 * x, jax.tree.map(jnp.asarray, TRUTH))


def family(rate_moves=fl.Static()):  # noqa: B008
    """The weights of the drift, and the rest."""
    drift = fl.GaussianProcessDrift(np.linspace(-1.5, 4.5, 8)[:, None], 1.0, scale=3.0, key=jax.random.key(0))
    priors = {
        "rate": fl.Parameter(dist.LogNormal(0.0, 1.0), rate_moves),
        "mean": fl.Parameter(dist.Normal(0.0, 2.0)),
        "sd": fl.Parameter(dist.LogNormal(-1.0, 1.0)),
        "noise": fl.Parameter(dist.LogNormal(-1.0, 1.0)),
    }
    return fl.ModelFamily.from_module(drift, model, where=lambda d: d.weights, scale=1.0, parameters=priors)


def simulated(seed, length=LENGTH, rate=TRUTH["rate"]):
    """(data, whether x jumped in each gap, the marks), by 20 Euler steps for each gap."""
    rng = np.random.default_rng([6, seed])
    gaps, x = rng.uniform(0.05, 0.25, length), rng.normal()
    values, jumped, marks = np.empty(length), np.zeros(length, bool), []
    for k, gap in enumerate(gaps):
        h = gap / 20
        for _ in range(20):
            count = rng.poisson(rate * h)
            jumped[k] |= count > 0
            x += h * (np.sin(2 * x) - 1.5 * x) + TRUTH["noise"] * h**0.5 * rng.normal()
            change = TRUTH["mean"] * count + TRUTH["sd"] * count**0.5 * rng.normal()
            marks += [change] * (count == 1)  # two in one step, once in seven data sets, are left out
            x += change
        values[k] = x + SEEN * rng.normal()
    return fl.Dataset(np.cumsum(gaps), values), jumped, np.array(marks)


def seen_by_all(marks, time):
    """The 90 % intervals of who sees every jump and its mark, by name: Gamma, Student's t, chi squared."""
    n, sd = len(marks), marks.std(ddof=1)
    return {
        "rate": stats.gamma.ppf([0.05, 0.95], n + 0.5, scale=1 / time),
        "mean": stats.t.interval(0.9, n - 1, marks.mean(), sd / n**0.5),
        "sd": sd * np.sqrt((n - 1) / stats.chi2.ppf([0.95, 0.05], n - 1)),
    }


def chance(belief, info):
    """P(a jump since the datum before | the data so far)."""
    return belief.probability(lambda jumps: jumps[0] > 0)


def regression(seed):
    """(coverage and Brier scores of one data set, the tree of its fit)."""
    whole, (data, jumped, marks) = family(), simulated(seed)
    observer = seen_by_all(marks, float(data.times[-1]))
    tree = fl.fit(whole, data, FILTER, fl.Laplace(250, 2), key=jax.random.key(seed))
    posterior, row = tree["posterior"].dataset, {"seed": seed, "pareto_k": float(tree["sample_stats"].attrs["pareto_k"])}
    for name in ("rate", "mean", "sd"):
        low, high = np.quantile(posterior[name].values, (0.05, 0.95))
        row |= {name: [float(low), float(high)], f"{name} covered": bool(low <= TRUTH[name] <= high)}
        row[f"{name} observed"] = bool(observer[name][0] <= TRUTH[name] <= observer[name][1])
    fitted = whole(fl.informed(whole, tree).start.mean)
    chances = [np.asarray(fl.run(FILTER, m, data, save=chance).saved) for m in (fitted, oracle(), whole(whole.median))]
    ours, best, untrained = (float(np.mean((each - jumped) ** 2)) for each in chances)
    constant = float(np.mean((jumped.mean() - jumped) ** 2))
    return row | {"Brier": ours, "Brier oracle": best, "Brier untrained": untrained, "Brier constant": constant}, tree


def caught(tree, seed, factor):
    """(jumps, data) until the alarm, or None, in a stream of `WATCHED` data whose rate is `factor` times the old one."""
    posterior = tree["posterior"].dataset
    middle = {name: posterior[name].values.reshape(-1, *posterior[name].shape[2:]) for name in posterior}
    held = {name: np.median(draws, axis=0) for name, draws in middle.items() if name != "rate"}
    start = family(fl.RandomWalk(0.1)).hold(held).started(np.log(middle["rate"])[:, None])
    data, jumped, _ = simulated(seed, WATCHED, factor * TRUTH["rate"])
    low = fl.run(WATCH, start, data, key=jax.random.key(seed), save=lambda b, info: b.parameters.quantile(0.01)[0]).saved
    above = np.flatnonzero(np.asarray(low) > np.log(np.median(middle["rate"])))
    return (int(jumped[: above[0] + 1].sum()), int(above[0]) + 1) if above.size else None


def main(path="results/jump_regression.jsonl", sets=100):
    """Writes the row of each data set, the first 20 of them watched on, and prints the shares."""
    rows = []
    with open(path, "w") as file:
        for seed in range(int(sets)):
            row, tree = regression(seed)
            if seed < STREAMS:
                row |= {name: caught(tree, seed + 1000, factor) for name, factor in (("doubled", 2), ("same", 1))}
            rows.append(row)
            print(json.dumps(rows[-1]), file=file, flush=True)
    for name in ("rate", "mean", "sd"):
        ours, observed = (sum(row[f"{name} {who}"] for row in rows) for who in ("covered", "observed"))
        print(f"{name}: covered in {ours} of {len(rows)}; by who sees every jump, in {observed}")
    for name in ("Brier", "Brier oracle", "Brier untrained", "Brier constant"):
        print(f"{name}: {np.mean([row[name] for row in rows]):.4f}")
    print(
        "jumps until a doubled rate is caught:",
        sorted(row["doubled"][0] if row["doubled"] else WATCHED for row in rows[:STREAMS]),
    )
    false = [row["same"] for row in rows[:STREAMS]]
    watched = sum(each[1] if each else WATCHED for each in false)
    print(f"false alarms without a change: {sum(each is not None for each in false)} in {watched} data")


if __name__ == "__main__":
    jax.config.update("jax_enable_x64", True)
    main(*sys.argv[1:])
