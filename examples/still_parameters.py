"""Static parameters learned online, against refits of the posterior on the same evidence at three times.

Ornstein-Uhlenbeck: dx = rate (level - x) dt + scale dW, seen with noise of unknown sd at 300 irregular times, a data set for
each seed, by a Kalman filter; refits by the no-U-turn sampler. Volatility: 750 daily returns of GBP/USD 1997-99, x_t = mu +
rho (x_t-1 - mu) + sigma e_t, y_t ~ N(0, exp x_t), by the exact filter on 40 states (needs FILTERLEARN_DATA), a run for each
seed; refits by importance sampling from a t law, 5,000 draws. Learners: `Nested` with `Rejuvenation`, which is IBIS, and with
particles inside SMC^2; beside them Liu & West's shrinkage, jitter, and copies alone. Scores, over the unconstrained
parameters at t = 100, 200 and the end: the largest difference of a posterior mean in posterior sds, and of a posterior sd,
relative. Target: at most .1 for IBIS and SMC^2 (Chopin 2002, doi:10.1093/biomet/89.3.539; Chopin, Jacob & Papaspiliopoulos
2013, doi:10.1111/j.1467-9868.2012.01046.x), in less time than the refits: seconds of the processor, compilation included.

    python examples/still_parameters.py [results.jsonl]
"""

import json
import os
import sys
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist

import filterlearn as fl

TIMES = (100, 200)  # and the end
STATES, REACH = 40, 4.0  # of the grid, in stationary sds
TRUTH = {"rate": 0.8, "level": 1.0, "scale": 0.6, "noise": 0.2}


def relaxing(p):
    """The Ornstein-Uhlenbeck process, from its stationary law."""
    rate, level, scale = (p[name][None] for name in ("rate", "level", "scale"))
    move = fl.LinearSDE(-rate[:, None], scale[:, None], rate * level)
    start = fl.Gaussian(level, (scale**2 / (2 * rate))[:, None], time=0.0)
    return fl.StateSpaceModel(start, move, fl.LinearGaussianObservation([[1.0]], p["noise"][None, None] ** 2))


def relaxing_family():
    """Priors a few times wider than what 300 data leave."""
    priors = {"rate": dist.LogNormal(0.0, 1.0), "level": dist.Normal(0.0, 2.0)}
    priors |= {"scale": dist.LogNormal(-0.5, 0.7), "noise": dist.LogNormal(-1.5, 0.7)}
    return fl.ModelFamily(relaxing, {name: fl.Parameter(prior) for name, prior in priors.items()})


def relaxing_data(seed):
    """300 data at gaps between .02 and .6, drawn not by this library."""
    rng = np.random.default_rng(seed)
    gaps = rng.uniform(0.02, 0.6, 300)
    sd = TRUTH["scale"] / (2 * TRUTH["rate"]) ** 0.5
    x, values = sd * rng.normal(), []
    for gap in gaps:
        a = np.exp(-TRUTH["rate"] * gap)
        x = a * x + sd * (1 - a**2) ** 0.5 * rng.normal()
        values.append(TRUTH["level"] + x + TRUTH["noise"] * rng.normal())
    return fl.Dataset(np.cumsum(gaps), values)


def volatile(p):
    """Stochastic volatility, by any filter that takes points."""
    mu, rho, sigma = p["mu"], p["rho"], p["sigma"]
    move = fl.Discrete(lambda t, x, u: mu + rho * (x - mu), sigma[None, None] ** 2)
    seen = fl.DistributionObservation(lambda t, x, u: dist.Normal(0.0, jnp.exp(x / 2)))
    return fl.StateSpaceModel(fl.Gaussian(mu[None], (sigma**2 / (1 - rho**2))[None, None]), move, seen)


def gridded(p):
    """The same on states evenly spaced over the stationary law."""
    rho, sd = p["rho"], p["sigma"] / jnp.sqrt(1 - p["rho"] ** 2)
    nodes = jnp.linspace(-REACH, REACH, STATES).astype(sd.dtype)
    move = jax.nn.softmax(-0.5 * (nodes - rho * nodes[:, None]) ** 2 / (1 - rho**2), axis=1)
    law = dist.Categorical(logits=-0.5 * nodes**2)
    seen = fl.DistributionObservation(lambda t, x, u: dist.Normal(0.0, jnp.exp((p["mu"] + sd * nodes[x.astype(int)]) / 2)))
    return fl.StateSpaceModel(fl.Initial(law), fl.MarkovChain(move), seen)


def volatile_family(build):
    """Priors that prefer a volatility that lasts."""
    priors = {"mu": dist.Normal(-1.0, 1.0), "rho": dist.Beta(20.0, 1.5), "sigma": dist.LogNormal(-1.5, 0.5)}
    return fl.ModelFamily(build, {name: fl.Parameter(prior) for name, prior in priors.items()})


def volatile_data(seed):
    """The log-returns in percent, whatever the seed."""
    lines = (Path(os.environ["FILTERLEARN_DATA"]) / "GBP_vs_USD_9798.txt").read_text().splitlines()
    returns = 100 * np.diff(np.log([float(line.split()[-1]) for line in lines[2:-1]]))
    return fl.Dataset(np.arange(float(len(returns))), returns)


STREAMS = {  # name: (data of a seed, the family of the exact evidence, its filter, its seeds, particles, moves)
    "Ornstein-Uhlenbeck": (relaxing_data, relaxing_family, fl.Kalman(), (1, 2, 3), 4000, 5),
    "volatility": (volatile_data, lambda: volatile_family(gridded), fl.HiddenMarkov(), (1,), 2000, 3),
}
EXACT = ("IBIS", "SMC^2")
DRAWS = {"Ornstein-Uhlenbeck": 2000, "volatility": 5000}  # of each of four chains; independent
MOST = 0.1


def learners(stream, length):
    """{name: (learner, its family)} for so many data."""
    _, family, inside, _, size, moves = STREAMS[stream]
    again = fl.Rejuvenation(length, moves=moves)
    table = {"IBIS": (fl.Nested(inside, size, again), family())}
    if stream == "volatility":
        table["SMC^2"] = (fl.Nested(fl.ParticleFilter(64), size, again), volatile_family(volatile))
    for name, move in {"Liu & West": fl.LiuWest(0.98, 0.02), "jitter": fl.Jitter(0.05), "copies": None}.items():
        table[name] = (fl.Nested(inside, size, move), family())
    return table


def ends(data):
    """The numbers of data after which posteriors are compared."""
    return (*(t for t in TIMES if t < len(data)), len(data))


def summary(belief, info):
    """Mean and covariance of the unconstrained parameters, and the effective size."""
    return belief.parameters.mean, belief.parameters.covariance, info.ess


def learned(learner, family, data, seed):
    """(means `(3, p)`, covariances `(3, p, p)`, seconds, resamplings)."""
    begun = time.process_time()
    saved = jax.block_until_ready(fl.run(learner, family, data, key=jax.random.key(seed), save=summary).saved)
    seconds, index = time.process_time() - begun, np.array(ends(data)) - 1
    mean, covariance, ess = map(np.asarray, saved)
    return mean[index], covariance[index], seconds, int((ess < learner.threshold * learner.size).sum())


def sampled(family, data, inside, seed, draws):
    """(mean, sd) of the posterior by NUTS."""
    found = fl.fit(family, data, inside, fl.NUTS(500, draws, 4), key=jax.random.key(seed))["posterior"].to_dataset()
    values = {name: jnp.asarray(found[name].to_numpy()).reshape(-1) for name in family.names}
    thetas = np.asarray(jax.vmap(family.unconstrain)(values))
    return thetas.mean(0), thetas.std(0)


def weighed(family, data, inside, seed, draws, mean, covariance):
    """(mean, sd) of the posterior by importance sampling from a t law of five degrees with these moments, widened."""
    law = dist.MultivariateStudentT(5.0, jnp.asarray(mean), 1.2 * jnp.linalg.cholesky(jnp.asarray(covariance)))
    thetas = law.sample(jax.random.key(seed), (draws,))
    level = lambda theta: fl.log_evidence(inside, family(theta), data) + family.log_prior(theta)  # noqa: E731
    weights = jax.nn.softmax(jax.lax.map(level, thetas, batch_size=250) - law.log_prob(thetas))
    centre = weights @ thetas
    return np.asarray(centre), np.asarray(jnp.sqrt(weights @ (thetas - centre) ** 2))


def refitted(stream, data, seed, draws, guess):
    """(means, sds) at each of the times, and seconds; `guess` is what IBIS found, from which importance sampling proposes."""
    _, family, inside, *_ = STREAMS[stream]
    family, begun, found = family(), time.process_time(), []
    for end, *moments in zip(ends(data), *guess, strict=True):
        if stream == "volatility":
            found.append(weighed(family, data[:end], inside, seed, draws, *moments))
        else:
            found.append(sampled(family, data[:end], inside, seed, draws))
    return *(np.array(part) for part in zip(*found, strict=True)), time.process_time() - begun


def rows(stream, seed, draws, most=None):
    """{learner: its scores} of a seed, on the first `most` data."""
    data, out = STREAMS[stream][0](seed)[:most], {}
    for name, pair in learners(stream, len(data)).items():
        mean, covariance, seconds, resamplings = learned(*pair, data, seed)
        if not out:
            exact, spread, refits = refitted(stream, data, seed, draws, (mean, covariance))
        off = np.abs(mean - exact) / spread
        wide = np.sqrt(np.diagonal(covariance, axis1=1, axis2=2)) / spread - 1
        scores = {"mean": off.max(1).tolist(), "sd": np.abs(wide).max(1).tolist()}
        out[name] = scores | {"seconds": seconds, "refits": refits, "resamplings": resamplings}
    return out


def main(path="results/still_parameters.jsonl"):
    """Prints the table and writes the scores of each seed."""
    print(f"{'largest differences':34s} {'of means, in sds':>26s} {'of sds, relative':>20s} seconds, of refits")
    with open(path, "w") as file:
        for stream, (*_, seeds, _, _) in STREAMS.items():
            table = [rows(stream, seed, DRAWS[stream]) for seed in seeds]
            for name in table[0]:
                each = [row[name] for row in table]
                for seed, row in zip(seeds, each, strict=True):
                    file.write(json.dumps({"stream": stream, "name": name, "seed": seed, **row}) + "\n")
                off, wide = (np.mean([row[part] for row in each], axis=0) for part in ("mean", "sd"))
                seconds, refits = (np.mean([row[part] for row in each]) for part in ("seconds", "refits"))
                words = " ".join(f"{x:8.3f}" for x in off), " ".join(f"{x:6.3f}" for x in wide)
                print(f"{stream + ', ' + name:34s} {words[0]:>26s} {words[1]:>20s} {seconds:7.0f} {refits:7.0f}", flush=True)


if __name__ == "__main__":
    jax.config.update("jax_enable_x64", True)
    main(*sys.argv[1:])
