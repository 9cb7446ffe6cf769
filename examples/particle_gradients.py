"""Differentiable particle filters on a linear model, where evidence and score are exact, and on a volatility, where they are
known from a grid.

    x' = diag(th) x + N(0, .5 I),   y = x + N(0, .1 I),   th = (.5, .5),   x_0 ~ N(0, I),   150 data, 25 points,

resampled below half the effective size (the setting of Corenflos, Thornton, Deligiannidis & Doucet 2021, arXiv:2102.07850).
Evidence: mean over data sets 0 to 99 and 20 keys of (estimate - exact) / T at th = .25, .5 and .75, each resampler paired
with multinomial resampling on the same data and keys. Score: its bias, its standard deviation over keys and its time, by each
resampler's derivative and by Fisher's identity, over paths drawn backward or online, datum by datum. Ascent: from 2 th / 3,
400 steps of gain .003 / (1 + i / 50)^.6, the mean of the last half against the maximum of the exact likelihood. The
volatility: the derivative of the log evidence with respect to sigma on 750 returns of GBP/USD 1997-98 (needs
FILTERLEARN_DATA), and its three parameters learned online in ten passes.

    python examples/particle_gradients.py [results.jsonl [evidence=100 score=32 ascent=100 transport=100 volatility=4 ...]]

Ten minutes on 16 cores, written as it goes; each part by itself, with the number of data sets behind its name, two or three
(learned=4 too).
"""

import concurrent.futures
import functools
import json
import multiprocessing
import os
import sys
import time

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import optax

import filterlearn as fl

TRUTH, LENGTH, KEYS, STEPS = 0.5, 150, 20, 400
TIMES = np.arange(1.0, LENGTH + 1)
LEVELS = (0.25, 0.5, 0.75)

RESAMPLERS = {
    "multinomial": fl.Multinomial(),
    "systematic": fl.Systematic(),
    "soft": fl.Soft(fl.Systematic(), 0.5),
    "stop_gradient": fl.StopGradient(fl.Systematic()),
    "optimal_transport": fl.OptimalTransport(0.5),
    "diffusion, 2 steps": fl.Diffusion(2),
    "diffusion, 4 steps": fl.Diffusion(4),
}


def model(th):
    """The model under two coefficients."""
    moved = fl.LinearDiscrete(jnp.diag(th), 0.5 * jnp.eye(2))
    return fl.StateSpaceModel(
        fl.Gaussian(jnp.zeros(2), 1.0, time=0.0), moved, fl.LinearGaussianObservation(jnp.eye(2), 0.1 * jnp.eye(2))
    )


def particles(resampler, size=25):
    """Resampled below half the effective size."""
    return fl.ParticleFilter(size, fl.Adaptive(resampler))


@functools.cache
def series(seed):
    """Data of the truth."""
    return fl.Dataset(TIMES, fl.simulate(model(jnp.full(2, TRUTH)), TIMES, key=jax.random.key(seed))[1])


@eqx.filter_jit
def evidence(algorithm, th, data, key=None):
    """Log evidence."""
    return fl.log_evidence(algorithm, model(th), data, key=key)


@eqx.filter_jit
def derivative(algorithm, th, data, key=None):
    """The derivative of the log evidence."""
    return jax.grad(lambda t: fl.log_evidence(algorithm, model(t), data, key=key))(th)


def _complete(th, x):
    """log p(x_1..T) up to a constant, x_0 integrated out; the observations do not know th."""
    first = th**2 + 0.5
    return -0.5 * jnp.sum(jnp.log(first) + x[0] ** 2 / first) - jnp.sum((x[1:] - th * x[:-1]) ** 2)


@eqx.filter_jit
def fisher(size, th, data, key):
    """Fisher's identity: the mean score of 25 paths drawn backward through `size` points."""
    first, second = jax.random.split(key)
    filtered = fl.run(particles(fl.Systematic(), size), model(th), data, key=first)
    paths = fl.smooth(fl.BackwardSampling(25), model(th), filtered, key=second).beliefs.points
    return jnp.mean(jax.vmap(lambda x: jax.grad(_complete)(th, x), in_axes=1)(paths), axis=0)


def fisher_25(th, data, key):
    """By 25 points."""
    return fisher(25, th, data, key)


def fisher_100(th, data, key):
    """By 100 points."""
    return fisher(100, th, data, key)


def _summed():
    """An optimiser that moves nothing and keeps the sum of the scores."""
    return optax.GradientTransformation(jnp.zeros_like, lambda g, total, params=None: (jnp.zeros_like(g), total - g))


@eqx.filter_jit
def online(score, th, data, key):
    """Fisher's identity, datum by datum: the sum of the scores that a learner of 25 points sees where th stays."""
    family = fl.ModelFamily(lambda p: model(p["th"]), {"th": fl.Parameter(dist.Normal(th, 1.0))})
    learner = fl.RecursiveMaximumLikelihood(particles(fl.Systematic()), _summed(), score)
    return fl.run(learner, family, data, key=key, save=lambda belief, info: None).last.optimiser


SCORES = {name: functools.partial(derivative, particles(made)) for name, made in RESAMPLERS.items() if name != "multinomial"}
SCORES |= {"fisher": fisher_25}
SCORES |= {"fisher, online": functools.partial(online, fl.FisherScore(1))}
SCORES |= {"paris, online": functools.partial(online, fl.ParisScore(draws=1))}
ASCENTS = {  # the dearest first
    "fisher, 100 points": fisher_100,
    "stop_gradient, 100 points": functools.partial(derivative, particles(RESAMPLERS["stop_gradient"], 100)),
    "fisher": fisher_25,
    **{name: SCORES[name] for name in ("diffusion, 2 steps", "soft", "stop_gradient", "systematic")},
    "exact": lambda th, data, key: derivative(fl.Kalman(), th, data),
}
TRANSPORTED = {"optimal_transport": SCORES["optimal_transport"]}
FINE = {"optimal_transport": fl.OptimalTransport(0.5, 1e-10), "diffusion": fl.Diffusion(4)}


@eqx.filter_jit
def _ascents(score, values, keys):
    """Several data sets side by side."""

    def one(values, key):
        data = fl.Dataset(TIMES, values)

        def step(th, i):
            gain = 0.003 / (1 + i / 50) ** 0.6
            new = jnp.clip(th + gain * score(th, data, jax.random.fold_in(key, i)), -0.99, 0.99)
            return new, new

        path = jax.lax.scan(step, jnp.full(2, 2 * TRUTH / 3), jnp.arange(STEPS))[1]
        return jnp.mean(path[STEPS // 2 :], axis=0)

    return jax.vmap(one)(values, keys)


@eqx.filter_jit
def best(data):
    """The maximum of the exact likelihood, by Newton's steps."""
    value = lambda th: fl.log_evidence(fl.Kalman(), model(th), data)  # noqa: E731
    step = lambda th, _: (th - jnp.linalg.solve(jax.hessian(value)(th), jax.grad(value)(th)), None)  # noqa: E731
    return jax.lax.scan(step, jnp.full(2, TRUTH), length=15)[0]


def bias_of_evidence(seed, names=tuple(RESAMPLERS)):
    """(estimate - exact) / T of each resampler at each level, `(20,)` keys."""
    data, keys, rows = series(seed), jax.random.split(jax.random.key(1000 + seed), KEYS), []
    for level in LEVELS:
        th = jnp.full(2, level)
        exact = evidence(fl.Kalman(), th, data)
        for name in names:
            if name != "stop_gradient":  # the numbers of systematic resampling
                each = [float(evidence(particles(RESAMPLERS[name]), th, data, key) - exact) / LENGTH for key in keys]
                rows.append({"what": "evidence", "seed": seed, "level": level, "name": name, "values": each})
    return rows


def scores(seed):
    """Derivative less exact score, by each of the 20 keys."""
    data, th = series(seed), jnp.full(2, TRUTH)
    keys, rows = jax.random.split(jax.random.key(2000 + seed), KEYS), []
    exact = derivative(fl.Kalman(), th, data)
    for name, score in SCORES.items():
        values = [(score(th, data, key=key) - exact).tolist() for key in keys]
        rows.append({"what": "score", "seed": seed, "name": name, "values": values, "exact": exact.tolist()})
    return rows + differences(seed)


def differences(seed):
    """The relative error of the derivative against differences at a fixed key, of what is smooth there."""
    data, th, h, rows = series(seed), jnp.full(2, TRUTH), jnp.array([1e-6, 0.0]), []
    key = jax.random.split(jax.random.key(2000 + seed), KEYS)[0]
    for name, made in FINE.items():
        up, down = (evidence(particles(made), th + sign * h, data, key) for sign in (1, -1))
        slope = float(derivative(particles(made), th, data, key)[0])
        rows.append({"what": "difference", "seed": seed, "name": name, "values": abs(slope / (float(up - down) / 2e-6) - 1)})
    return rows


def ascents(name, seeds):
    """Where an ascent ends on each data set, less the maximum of the exact likelihood."""
    keys = jax.vmap(lambda seed: jax.random.key(3000 + seed))(jnp.array(seeds))
    ends = _ascents((ASCENTS | TRANSPORTED)[name], jnp.stack([series(seed).values for seed in seeds]), keys)
    off = [(end - best(series(seed))).tolist() for end, seed in zip(ends, seeds, strict=True)]
    return [{"what": "ascent", "seed": seed, "name": name, "values": each} for seed, each in zip(seeds, off, strict=True)]


def _gbp_usd():
    """The returns, or None."""
    folder = os.environ.get("FILTERLEARN_DATA")
    if folder is None:
        print("volatility: skipped, FILTERLEARN_DATA is not set")
        return None
    with open(os.path.join(folder, "GBP_vs_USD_9798.txt")) as file:
        return 100 * np.diff(np.log([float(line.split()[-1]) for line in file.read().splitlines()[2:-1]]))


def volatility(seed):
    """d log evidence / d sigma of the returns by 200 points: without and with the resampler's share, by Fisher's identity."""
    returns = _gbp_usd()
    if returns is None:
        return []
    data, rows = fl.Dataset(np.arange(float(len(returns))), returns), []
    exact = (_grid(returns, 0.178 + 1e-4) - _grid(returns, 0.178 - 1e-4)) / 2e-4
    for name in ("systematic", "stop_gradient"):
        slope = eqx.filter_jit(jax.grad(functools.partial(_returns, particles(RESAMPLERS[name], 200), data)))
        keys = jax.random.split(jax.random.key(4000 + seed), KEYS)
        each = [float(slope(jnp.asarray(0.178), key)) - exact for key in keys]
        rows.append({"what": "volatility", "seed": seed, "name": name, "values": each, "exact": exact})
    family = fl.ModelFamily(_reverting, {"sigma": fl.Parameter(dist.Normal(0.178, 0.1))})
    learner = fl.RecursiveMaximumLikelihood(particles(fl.Systematic(), 200), _summed())
    run = lambda key: fl.run(learner, family, data, key=key, save=lambda belief, info: None)  # noqa: E731
    each = [float(run(key).last.optimiser[0]) - exact for key in keys]
    return [*rows, {"what": "volatility", "seed": seed, "name": "fisher, online", "values": each, "exact": exact}]


def _reverting(p):
    """Log variances that revert to mu by rho."""
    mu, rho, sigma = p.get("mu", jnp.asarray(-1.02)), p.get("rho", jnp.asarray(0.9702)), p["sigma"]
    moved = fl.LinearDiscrete(rho[None, None], (sigma**2)[None, None], (mu * (1 - rho))[None])
    start = fl.Initial(dist.Normal(mu, sigma / jnp.sqrt(1 - rho**2)))
    seen = fl.DistributionObservation(lambda t, x, u: dist.Normal(0.0, jnp.exp(x / 2)))
    return fl.StateSpaceModel(start, moved, seen)


def _returns(algorithm, data, sigma, key):
    """Log evidence of log variances that revert to -1.02 by .9702."""
    return fl.log_evidence(algorithm, _reverting({"sigma": sigma}), data, key=key)


def learned(seed, passes=10):
    """The three parameters of the volatility learned by 100 points in passes over the returns, from (-1, 0, exp(-1)): what
    the exact log evidence there lacks of its maximum, -477.46, and the parameters."""
    returns = _gbp_usd()
    if returns is None:
        return []
    priors = {"mu": dist.Normal(-1.0, 1.0), "rho": dist.Normal(0.0, 0.3), "sigma": dist.LogNormal(-1.0, 1.0)}
    family = fl.ModelFamily(_reverting, {name: fl.Parameter(prior) for name, prior in priors.items()})
    learner = fl.RecursiveMaximumLikelihood(fl.ParticleFilter(100), fl.natural_gradient())
    data = fl.Dataset(np.arange(float(passes * len(returns))), np.tile(returns, passes))
    last = fl.run(learner, family, data, key=jax.random.key(5000 + seed), save=lambda belief, info: None).last
    found = {name: float(value) for name, value in family.constrain(last.parameters.mean).items()}
    lack = -477.46244 - float(_grid(returns, **found))
    return [{"what": "learned", "seed": seed, "name": "fisher, online", "values": lack, **found}]


def _grid(returns, sigma, mu=-1.02, rho=0.9702):
    """The exact log evidence, by sums over a grid a third of sigma apart."""
    reach = 10 * sigma / np.sqrt(1 - rho**2)
    x = np.linspace(mu - reach, mu + reach, 2 * int(np.ceil(3 * reach / sigma)) + 1)
    move = np.exp(-0.5 * ((x[:, None] - mu - rho * (x - mu)) / sigma) ** 2)
    move *= (x[1] - x[0]) / (sigma * np.sqrt(2 * np.pi))
    weights, total = np.exp(-50 * ((x - mu) / reach) ** 2), 0.0
    weights /= weights.sum()
    for k, y in enumerate(returns):
        joint = (move @ weights if k else weights) * np.exp(-0.5 * (np.log(2 * np.pi) + x + y**2 * np.exp(-x)))
        total, weights = total + np.log(joint.sum()), joint / joint.sum()
    return total


def seconds():
    """Time of one derivative, compiled, with nothing else running."""
    data, th, rows = series(0), jnp.full(2, TRUTH), []
    for name, score in SCORES.items():
        one = lambda key, score=score: jax.block_until_ready(score(th, data, key=key))  # noqa: E731
        one(jax.random.key(0))
        start = time.perf_counter()
        for k in range(10):
            one(jax.random.key(k))
        rows.append({"what": "seconds", "name": name, "values": (time.perf_counter() - start) / 10})
    return rows


def task(given):
    """One piece of work in a process of its own: what, and a data set; or whose ascent, and data sets."""
    jax.config.update("jax_enable_x64", True)
    what, seeds = given
    made = {"evidence": bias_of_evidence, "score": scores, "volatility": volatility, "learned": learned}
    return made[what](seeds) if what in made else ascents(what, seeds)


def tasks(evidence=100, score=32, ascent=100, transport=100, volatility=4, learned=4):
    """The work, the dearest first, on so many data sets; ascents several side by side, in a tenth of the time."""
    for names, count, size in ((TRANSPORTED, transport, 7), (ASCENTS, ascent, 25)):
        yield from ((name, range(k, min(k + size, count))) for name in names for k in range(0, count, size))
    for what, count in {"score": score, "evidence": evidence, "volatility": volatility, "learned": learned}.items():
        yield from ((what, seed) for seed in range(count))


def _mean(values):
    """Mean over data sets and its standard error."""
    values = np.asarray(values)
    return values.mean(), values.std(ddof=1) / np.sqrt(len(values)) if len(values) > 1 else np.nan


def table(rows):
    """Prints what the rows say."""
    for level in LEVELS:
        own = {
            name: [
                np.mean(r["values"]) for r in rows if (r["what"], r.get("level"), r.get("name")) == ("evidence", level, name)
            ]
            for name in RESAMPLERS
        }
        plain = np.array(own["multinomial"])
        for name, values in own.items():
            if values:
                (mean, se), (off, error) = _mean(values), _mean(np.array(values) - plain)
                own_part = f"evidence at {level:4.2f} {name:18s} {mean:7.4f} +- {se:.4f}"
                print(f"{own_part}   over multinomial {off:7.4f} +- {error:.4f}")
    for name in SCORES:
        own = np.array([r["values"] for r in rows if r["what"] == "score" and r["name"] == name])
        if len(own):
            mean, se = _mean(own.mean(axis=(1, 2)))
            took = [r["values"] for r in rows if r["what"] == "seconds" and r["name"] == name]
            each = f"{1e3 * took[0]:.1f} ms" if took else ""
            print(
                f"score {name:18s} bias {mean:7.2f} +- {se:.2f}   sd {np.sqrt(own.var(axis=1, ddof=1).mean()):6.2f}   {each}"
            )
    for name in FINE:
        worst = [r["values"] for r in rows if (r["what"], r.get("name")) == ("difference", name)]
        if worst:
            print(f"{name} against differences at a fixed key: median {np.median(worst):.1e}, worst {max(worst):.1e}")
    for name in (*ASCENTS, *TRANSPORTED):
        own = np.array([r["values"] for r in rows if r["what"] == "ascent" and r["name"] == name])
        if len(own):
            (square, se), (mean, error) = _mean((own**2).mean(1)), _mean(own.mean(1))
            root = np.sqrt(square)
            print(
                f"ascent {name:26s} rmse {root:.4f} +- {se / (2 * root):.4f}   bias {mean:7.4f} +- {error:.4f}   n {len(own)}"
            )
    for name in ("systematic", "stop_gradient", "fisher, online"):
        own = [r for r in rows if r["what"] == "volatility" and r["name"] == name]
        if own:
            mean, se = _mean(np.concatenate([r["values"] for r in own]))
            print(f"volatility {name:14s} d/d sigma less exact {mean:7.2f} +- {se:.2f}   exact {own[0]['exact']:.2f}")
    for r in rows:
        if r["what"] == "learned":
            print(f"learned {r['values']:.3f} below the maximum at {r['mu']:.3f}, {r['rho']:.3f}, {r['sigma']:.3f}")


def main(path="results/particle_gradients.jsonl", *parts):
    """Works through the tasks on all cores, writes each row as it comes, prints the table."""
    counts = {name: int(count) for name, _, count in (part.partition("=") for part in parts)}
    counts = (
        dict.fromkeys(("evidence", "score", "ascent", "transport", "volatility", "learned"), 0) | counts if counts else {}
    )
    rows, spawn = [] if counts.get("score") == 0 else seconds(), multiprocessing.get_context("spawn")
    with open(path, "w") as file, concurrent.futures.ProcessPoolExecutor(os.cpu_count(), mp_context=spawn) as pool:
        file.writelines(json.dumps(row) + "\n" for row in rows)
        for done in concurrent.futures.as_completed([pool.submit(task, each) for each in tasks(**counts)]):
            rows += done.result()
            file.writelines(json.dumps(row) + "\n" for row in done.result())
            file.flush()
    table(rows)


if __name__ == "__main__":
    jax.config.update("jax_enable_x64", True)
    main(*sys.argv[1:])
