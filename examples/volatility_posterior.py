"""One posterior by six methods: stochastic volatility of GBP/USD (needs FILTERLEARN_DATA).

750 daily returns in percent, 1997-99: x_t = mu + rho (x_t-1 - mu) + sigma e_t from its stationary law, y_t ~ N(0, exp x_t).
The parameters are drawn by NumPyro's sampler over the 750 normals e_t besides, by particle MCMC with as many particles as
`sized` finds, by particle Gibbs with 40, and by SMC on the exact evidence of 40 states; and learned online by `Nested` with
`Rejuvenation`, on that evidence (IBIS) and on particles (SMC^2). Scores: posterior means and sds of the unconstrained
parameters, the largest difference of a mean from that of SMC on the exact evidence in its sds, the least effective size, and
seconds of the processor, compilation included. Target: means within .5 sd (here as published for no other data set: Kim,
Shephard & Chib 1998, doi:10.1111/1467-937X.00050, compare samplers of this model).

    python -m examples.volatility_posterior [results.jsonl]
"""

import json
import sys
import time

import arviz as az
import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from numpyro.infer import MCMC, NUTS

import filterlearn as fl
from examples.still_parameters import gridded, summary, volatile, volatile_data, volatile_family

MOST = 0.5
EXACT, FAMILY = volatile_family(gridded), volatile_family(volatile)


def augmented(returns):
    """The same model over its parameters and the normals that drive it."""
    values = {name: numpyro.sample(name, given.prior) for name, given in FAMILY.parameters.items()}
    mu, rho, sigma = values["mu"], values["rho"], values["sigma"]
    normals = numpyro.sample("normals", dist.Normal(0.0, 1.0).expand([len(returns)]).to_event(1))
    pushed = (sigma * normals).at[0].divide(jnp.sqrt(1 - rho**2))
    follow = lambda a, b: (a[0] * b[0], b[0] * a[1] + b[1])  # noqa: E731
    _, away = jax.lax.associative_scan(follow, (jnp.full_like(pushed, rho), pushed))
    numpyro.sample("returns", dist.Normal(0.0, jnp.exp((mu + away) / 2)).to_event(1), obs=returns)


def by_path(data, key, warmup, draws):
    """Unconstrained draws `(chains, draws, p)`."""
    sampler = MCMC(
        NUTS(augmented), num_warmup=warmup, num_samples=draws, num_chains=2, chain_method="vectorized", progress_bar=False
    )
    sampler.run(key, jnp.asarray(data.values)[:, 0])
    found = sampler.get_samples(group_by_chain=True)
    return jax.vmap(jax.vmap(lambda *values: FAMILY.unconstrain(dict(zip(FAMILY.names, values, strict=True)))))(
        *(found[name] for name in FAMILY.names)
    )


def by(family, algorithm, method):
    """The same of `fit`, by an algorithm or by what gives one for data."""

    def drawn(data, key, warmup, draws):
        used = algorithm(data, key) if callable(algorithm) else algorithm
        found = fl.fit(family, data, used, method(warmup, draws), key=key)["posterior"].to_dataset()
        values = {name: jnp.asarray(found[name].to_numpy()) for name in family.names}
        return jax.vmap(jax.vmap(family.unconstrain))(values)

    return drawn


def blocked(warmup, draws):
    """Particle MCMC that renews a tenth of the random numbers."""
    return fl.ParticleMCMC(warmup, draws, 2, blocks=10)


def enough(data, key):
    """Particles for particle MCMC, sorted so that its blocks count."""
    return fl.sized(FAMILY, data, fl.ParticleFilter(100, fl.Ordered(fl.Systematic())), blocked(1, 1), key=key)


def tempered(warmup, draws):
    """Walks of 20 steps."""
    return fl.SMC(draws // 20 * 20, 20, 2)


def swept(warmup, draws):
    """Ten moves of the parameters of each kind for every path."""
    return fl.ParticleGibbs(warmup, draws, 2, moves=10)


SAMPLERS = {  # name: (draws of data, key, warmup and number; warmup; number)
    "SMC, exact": (by(EXACT, fl.HiddenMarkov(), tempered), 0, 4000),
    "NUTS over the path": (by_path, 500, 1000),
    "ParticleMCMC": (by(FAMILY, enough, blocked), 1000, 8000),
    "ParticleGibbs": (by(FAMILY, fl.ParticleFilter(40), swept), 500, 2000),
}
LEARNERS = {"IBIS, exact": (EXACT, fl.HiddenMarkov()), "SMC^2": (FAMILY, fl.ParticleFilter(64))}


def sampled(name, data, seed, share=1.0):
    """Scores of a sampler, with a share of its draws."""
    draw, warmup, draws = SAMPLERS[name]
    begun, key = time.process_time(), jax.random.key(seed)
    found = np.asarray(draw(data, key, int(share * warmup), int(share * draws)))
    seconds = time.process_time() - begun
    tree = az.from_dict({"posterior": {"theta": found}})
    mean, sd, ess = found.mean((0, 1)), found.std((0, 1)), float(az.ess(tree)["theta"].min())
    return {"mean": mean.tolist(), "sd": sd.tolist(), "ess": ess, "seconds": seconds}


def learned(name, data, seed, size):
    """The same of a learner, at the end of the stream."""
    family, inside = LEARNERS[name]
    learner = fl.Nested(inside, size, fl.Rejuvenation(len(data), moves=3))
    begun = time.process_time()
    saved = fl.run(learner, family, data, key=jax.random.key(seed), save=summary).saved
    mean, covariance, ess = (np.asarray(part)[-1] for part in saved)
    seconds = time.process_time() - begun
    return {"mean": mean.tolist(), "sd": np.sqrt(np.diag(covariance)).tolist(), "ess": float(ess), "seconds": seconds}


def rows(seed=0, most=None, share=1.0, size=2000):
    """{method: its scores}, on the first `most` data; the first method is what the others are compared with."""
    data, out = volatile_data(seed)[:most], {}
    for name in (*SAMPLERS, *LEARNERS):
        row = sampled(name, data, seed, share) if name in SAMPLERS else learned(name, data, seed, size)
        exact = next(iter(out.values()), row)
        off = np.abs(np.subtract(row["mean"], exact["mean"]) / exact["sd"]).max()
        out[name] = row | {"off": float(off)}
        print(name, {k: np.round(v, 3).tolist() for k, v in out[name].items()}, flush=True)
    return out


def main(path="results/volatility_posterior.jsonl"):
    """Prints the table and writes the scores of each method."""
    with open(path, "w") as file:
        file.writelines(json.dumps({"name": name, **row}) + "\n" for name, row in rows().items())


if __name__ == "__main__":
    jax.config.update("jax_enable_x64", True)
    main(*sys.argv[1:])
