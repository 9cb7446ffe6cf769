"""W2: the bootstrap particle filter on stochastic volatility, resampled systematically below half the particles, in single
precision."""

import functools
import math

import numpy as np

from benchmarks.case import Case, jitted

MEAN, PERSISTENCE, NOISE = -1.0, 0.97, 0.2
SPREAD = NOISE / math.sqrt(1 - PERSISTENCE**2)
KNOWN = -936.75
CASES = {f"N = {n:,}": Case({"size": n}, ahead) for n, ahead in ((1000, 3.0), (10_000, 2.5), (100_000, 2.5))}


@functools.cache
def series():
    """1,000 values."""
    rng, values = np.random.default_rng(2000), []
    x = MEAN + SPREAD * rng.normal()
    for t in range(1000):
        x = MEAN + PERSISTENCE * (x - MEAN) + NOISE * rng.normal() if t else x
        values.append(math.exp(x / 2) * rng.normal())
    return np.array(values, np.float32)


def gate(told, size):
    """Within five standard deviations of such an estimate: about 1.6 at 1,000 particles."""
    found = told["log-likelihood"]
    if not abs(found - KNOWN) < 5 * 1.6 * math.sqrt(1000 / size) + 1.0:
        raise AssertionError(f"log-likelihood {found}, about {KNOWN} is known")


def density(y, x):
    """log N(y; 0, exp x)."""
    import jax.numpy as jnp

    return -0.5 * (x + y**2 * jnp.exp(-x) + math.log(2 * math.pi))


def filterlearn(size):
    """The log-likelihood."""
    import jax.numpy as jnp
    import numpyro.distributions as dist

    import filterlearn as fl

    def filtered(theta, values, key):
        mean, persistence, noise = theta
        moves = fl.LinearDiscrete(persistence[None, None], noise[None, None] ** 2, (mean * (1 - persistence))[None])
        seen = fl.DistributionObservation(lambda t, x, u: dist.Normal(0.0, jnp.exp(x / 2)))
        start = fl.Gaussian(mean[None], noise[None, None] ** 2 / (1 - persistence**2))
        data = fl.Dataset(np.arange(len(values), dtype=np.float32), values[:, None])
        model = fl.StateSpaceModel(start, moves, seen)
        return {"log-likelihood": fl.log_evidence(fl.ParticleFilter(size), model, data, key=key)}

    return ours(filtered)


def ours(filtered):
    """A run of `filtered(theta, values, key)` with the parameters as arguments."""
    import jax
    import jax.numpy as jnp

    return jitted(filtered, jnp.array([MEAN, PERSISTENCE, NOISE], jnp.float32), jnp.asarray(series()), jax.random.key(0))


def bare(size):
    """The log-likelihood, by a scan written for this model."""
    import jax
    import jax.numpy as jnp

    def filtered(theta, values, key):
        mean, persistence, noise = theta

        def one(carry, each):
            x, w = carry
            y, key = each
            first, second = jax.random.split(key)
            chosen = 1 / jnp.sum(w**2) < size / 2

            def resampled():
                edges = jnp.ceil(jnp.cumsum(w) * size - jax.random.uniform(first)).astype(jnp.int32)
                counts = jnp.zeros(size, jnp.int32).at[jnp.clip(edges, 0, size)].add(1, mode="drop")
                return x[jnp.minimum(jnp.cumsum(counts), size - 1)], jnp.full(size, 1 / size, jnp.float32)

            x, w = jax.lax.cond(chosen, resampled, lambda: (x, w))
            x = mean + persistence * (x - mean) + noise * jax.random.normal(second, (size,))
            v = jnp.log(w) + density(y, x)
            top = jnp.max(v)
            e = jnp.exp(v - top)
            total = jnp.sum(e)
            return (x, e / total), top + jnp.log(total)

        start, key = jax.random.split(key)
        x = mean + noise / jnp.sqrt(1 - persistence**2) * jax.random.normal(start, (size,))
        x = (x - mean) / persistence + mean  # the first move then leaves it near the stationary law
        carry = (x, jnp.full(size, 1 / size, jnp.float32))
        told = jax.lax.scan(one, carry, (values, jax.random.split(key, len(values))))[1]
        return {"log-likelihood": jnp.sum(told)}

    return ours(filtered)


def cuthbert(size):
    """The log-likelihood, particles, weights and ancestors of each step."""
    import jax
    import jax.numpy as jnp
    from cuthbert import filter
    from cuthbert.smc import particle_filter
    from cuthbertlib.resampling import systematic
    from cuthbertlib.resampling.adaptive import ess_decorator

    def filtered(theta, values, key):
        mean, persistence, noise = theta

        def moved(key, x, row):
            moved = mean + persistence * (x - mean) + noise * jax.random.normal(key)
            return jnp.where(row["first"], x, moved)

        each = particle_filter.build_filter(
            lambda key: mean + noise / jnp.sqrt(1 - persistence**2) * jax.random.normal(key),
            moved,
            lambda before, x, row: density(row["y"], x),
            size,
            ess_decorator(systematic.resampling, 0.5),
        )
        first, second = jax.random.split(key)
        rows = {"y": values, "first": jnp.arange(len(values)) == 0}
        found = filter(each, rows, each.init_prepare(key=first), key=second)
        return {"log-likelihood": found.log_normalizing_constant[-1]}

    return ours(filtered)


def dynestyx(size):
    """The log-likelihood."""
    import dynestyx as dsx
    import jax.numpy as jnp
    import numpyro.distributions as dist
    from dynestyx.inference.configs.filter import PFConfig
    from numpyro.infer.util import log_density

    def filtered(theta, values, key):
        mean, persistence, noise = theta

        def model():
            dynamics = dsx.DynamicalModel(
                initial_condition=dist.Normal(mean, noise / jnp.sqrt(1 - persistence**2)).expand([1]).to_event(1),
                state_evolution=lambda x, u, t_now, t_next: dist.Normal(mean + persistence * (x - mean), noise).to_event(1),
                observation_model=lambda x, u, t: dist.Normal(0.0, jnp.exp(x / 2)).to_event(1),
            )
            with dsx.Filter(PFConfig(n_particles=size, ess_threshold_ratio=0.5, crn_seed=key)):
                dsx.sample("y", dynamics, obs_times=jnp.arange(float(len(values))), obs_values=values[:, None])

        return {"log-likelihood": log_density(model, (), {}, {})[0]}

    return ours(filtered)


def pypomp(size):
    """The log-likelihood; compiled by itself."""
    import jax
    import jax.numpy as jnp
    import pandas as pd
    import pypomp as pp

    def start(theta_, key, covars, t0):
        # so that the first of its moves leaves the stationary law
        return {"x": theta_["mean"] + theta_["noise"] / jnp.sqrt(1 - theta_["persistence"] ** 2) * jax.random.normal(key)}

    def moves(X_, theta_, key, covars, t, dt):
        mean = theta_["mean"]
        return {"x": mean + theta_["persistence"] * (X_["x"] - mean) + theta_["noise"] * jax.random.normal(key)}

    def seen(Y_, X_, theta_, covars, t):
        return density(Y_["y"], X_["x"])

    frame = pd.DataFrame({"y": series()}, index=np.arange(1.0, 1001.0))
    theta = pp.PompParameters({"mean": MEAN, "persistence": PERSISTENCE, "noise": NOISE})
    each = pp.Pomp(frame, theta, ["x"], 0.0, start, moves, dmeas=seen, nstep=1)

    def run():
        each.pfilter(size, key=jax.random.key(0), thresh=size / 2)
        return {"log-likelihood": np.asarray(each.results_history[-1].logLiks).ravel()[0]}

    return run


def particles(size):
    """The log-likelihood, by numpy and numba."""
    import particles
    from particles import state_space_models

    model = state_space_models.StochVol(mu=MEAN, rho=PERSISTENCE, sigma=NOISE)

    def run():
        each = particles.SMC(
            state_space_models.Bootstrap(ssm=model, data=series()), size, resampling="systematic", ESSrmin=0.5
        )
        each.run()
        return {"log-likelihood": each.logLt}

    return run


SIDES = {
    "filterlearn": filterlearn,
    "bare": bare,
    "cuthbert": cuthbert,
    "dynestyx": dynestyx,
    "pypomp": pypomp,
    "particles": particles,
}
