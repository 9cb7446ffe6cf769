"""The parameter rho of a noisy Lorenz-63 of which one coordinate is seen, by every filter, and the steps that it needs.

dx = f(x; rho) dt + dW with sigma = 10, beta = 8/3, rho = 28; y = x_1 + N(0, 1) at 200 times with gaps U(.02, .08). Prior:
rho ~ N(25, 5^2). Each filter has its defaults and starts with one step for each gap, of `LocalLinear` for a Gaussian filter
and of `RungeKutta` for one that samples; the step is halved while the evidence is not finite everywhere, or that moves it
by more than 1 nat or rho by a quarter of its sd, as `fit` warns (here `check_step_size` at the 16 and 84 % quantiles). In one
dimension the posterior that NUTS would draw from is had by quadrature, on a grid of 25 points, the log evidence smoothed by a
quartic; `drawn` goes by NUTS (particles by particle MCMC). Reference: the same with 1,000 particles in 64 Runge-Kutta steps.
A filter that draws random numbers has one fixed key, particles the mean of four.

Targets: one Euler step is objected to; the posterior mean is within .5 reference sd of the reference's; over 20 data sets the
90 % interval covers 28 at least 15 times. Other libraries move the evidence by 1,000 nats, and rho by nine posterior sds,
at one to eight Euler steps without a word.

    python examples/partly_seen_lorenz.py [results.jsonl] [first data set] [last]
"""

import functools
import json
import sys
import warnings

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist

import filterlearn as fl

RHO, GRID = 28.0, np.linspace(25.0, 31.0, 25)
NUTS = fl.NUTS(warmup=150, draws=300, chains=2)
FILTERS = {
    "extended": (fl.ExtendedKalman(), NUTS, fl.LocalLinear),
    "unscented": (fl.SigmaPoint(fl.Unscented()), NUTS, fl.LocalLinear),
    "ensemble of 100": (fl.EnsembleKalman(100), NUTS, fl.RungeKutta),
    "1,000 particles": (fl.ParticleFilter(1000), fl.ParticleMCMC(warmup=150, draws=300, chains=2), fl.RungeKutta),
}


@functools.cache
def family(steps, scheme):
    """Lorenz-63 with unknown rho."""

    def build(p):
        def drift(t, x, u):
            return jnp.stack([10 * (x[1] - x[0]), x[0] * (p["rho"] - x[2]) - x[1], x[0] * x[1] - 8 / 3 * x[2]])

        start = fl.Gaussian([1.509, -1.531, 25.46], 2.0, time=0.0)
        seen = fl.LinearGaussianObservation([[1.0, 0.0, 0.0]], [[1.0]])
        return fl.StateSpaceModel(start, scheme(fl.SDE(drift, jnp.ones(3)), steps=steps), seen)

    return fl.ModelFamily(build, {"rho": fl.Parameter(dist.Normal(25.0, 5.0))})


def series(seed):
    """200 data from the model in 256 Euler steps for each gap."""
    times = np.cumsum(np.random.default_rng(seed).uniform(0.02, 0.08, 200))
    truth = family(256, fl.EulerMaruyama)(jnp.array([RHO]))
    return fl.Dataset(times, fl.simulate(truth, times, key=jax.random.key(seed))[1])


def euler_change(name, data, key):
    """How far two Euler steps instead of one move the log evidence at the true rho, and whether that was objected to."""
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        model = family(1, fl.EulerMaruyama)(jnp.array([RHO]))
        return fl.check_step_size(FILTERS[name][0], model, data, key=key).change, bool(said)


def posterior(name, data, key, steps=1):
    """(rho on a fine grid, its weights, the least power of two of steps that is not objected to)."""
    model = family(steps, FILTERS[name][2])
    level = levels(FILTERS[name][0], model, data, key)
    if np.isfinite(level).all():
        rho, weights = quadrature(level)
        ends = [jnp.array([quantile(rho, weights, share)]) for share in (0.16, 0.84)]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            low, high = (fl.check_step_size(FILTERS[name][0], model(end), data, key=key).change for end in ends)
        if abs(high + low) <= 2.0 and abs(high - low) <= 0.5:
            return rho, weights, steps
    return posterior(name, data, key, 2 * steps)


def quantile(rho, weights, level):
    """The least rho with that much weight below it."""
    return rho[np.searchsorted(np.cumsum(weights), level)]


@eqx.filter_jit
def _levels(algorithm, model, data, keys):
    """Log evidences on the grid under each key."""

    def level(rho):
        return jax.vmap(lambda k: fl.log_evidence(algorithm, model(rho[None]), data, key=k))(keys)

    return jax.lax.map(level, jnp.asarray(GRID))


def levels(algorithm, model, data, key):
    """The log evidence on the grid: of particles, of the mean of four estimates."""
    keys = jax.random.split(key, 4) if isinstance(algorithm, fl.ParticleFilter) else key[None]
    found = np.asarray(_levels(algorithm, model, data, keys))
    return np.logaddexp.reduce(found, axis=1) - np.log(len(keys))


def quadrature(level):
    """(rho on a fine grid, its posterior weights)."""
    near = level > level.max() - 15
    fine = np.linspace(GRID[near][0], GRID[near][-1], 2001)
    smooth = np.polyval(np.polyfit(GRID[near] - RHO, level[near], 4), fine - RHO) - 0.5 * ((fine - 25.0) / 5.0) ** 2
    weights = np.exp(smooth - smooth.max())
    return fine, weights / weights.sum()


def moments(rho, weights):
    """Mean and standard deviation."""
    mean = weights @ rho
    return mean, (weights @ (rho - mean) ** 2) ** 0.5


@functools.cache
def reference(seed, steps=64):
    """Mean and sd of rho."""
    level = levels(fl.ParticleFilter(1000), family(steps, fl.RungeKutta), series(seed), jax.random.key(seed))
    return moments(*quadrature(level))


def drawn(name, seed, steps):
    """Draws of rho by Markov chains."""
    algorithm, method, scheme = FILTERS[name]
    tree = fl.fit(family(steps, scheme), series(seed), algorithm, method, key=jax.random.key(seed))
    return tree["posterior"]["rho"].values.ravel()


def score(name, seed, fine=64):
    """What one filter makes of one data set."""
    data, key = series(seed), jax.random.key(seed)
    (mean, sd), (change, said) = reference(seed, fine), euler_change(name, data, key)
    rho, weights, steps = posterior(name, data, key)
    low, high = (quantile(rho, weights, level) for level in (0.05, 0.95))
    own = dict(zip(("mean", "sd"), moments(rho, weights), strict=True)) | {"covered": bool(low <= RHO <= high)}
    return {"name": name, "seed": seed, "euler": change, "said": said, "steps": steps, **own, "reference": mean, "its sd": sd}


def table(rows):
    """Prints the means over the data sets."""
    print(f"{'':16s} {'one Euler step':>15s} {'steps':>6s} {'off, sd':>8s} {'|off|':>6s} {'sd/its':>7s} {'covered':>8s}")
    for name in FILTERS:
        own = [row for row in rows if row["name"] == name]
        off = np.array([(row["mean"] - row["reference"]) / row["its sd"] for row in own])
        wide = np.mean([row["sd"] / row["its sd"] for row in own])
        euler = f"{np.nanmedian([row['euler'] for row in own]):.0f} nats"
        steps, seen = np.median([row["steps"] for row in own]), f"{sum(row['covered'] for row in own)}/{len(own)}"
        print(f"{name:16s} {euler:>15s} {steps:6.0f} {off.mean():8.2f} {abs(off).mean():6.2f} {wide:7.2f} {seen:>8s}")


def main(path="results/partly_seen_lorenz.jsonl", first=0, last=19):
    """Writes the score of each data set, and prints the table."""
    rows = []
    with open(path, "w") as file:
        for seed in range(int(first), int(last) + 1):
            for name in FILTERS:
                rows.append(score(name, seed))
                print(json.dumps(rows[-1]), file=file, flush=True)
    table(rows)


if __name__ == "__main__":
    jax.config.update("jax_enable_x64", True)
    main(*sys.argv[1:])
