"""Which of eight SDEs made a long path, by two-stage information criteria.

dx = -x dt + dW, 10,000 gaps of h = .01, 100 paths. Candidates: diffusions g and g sqrt(1 + x^2), drifts a x, a x + b,
a x + b x^3 and a x + b sin 2x. Stage one fits the diffusion by `QuasiLikelihood` without a drift, stage two the drift at that
diffusion, by five steps of Newton's method. Criteria: twice the losses plus, for each parameter of the diffusion and of the
drift, log n and log nh (in stages: Eguchi 2018, doi:10.15017/1931722), 2 and 2 (Akaike), log n and log n. Target: in stages
right in at least 85 of 100, Akaike worse; on a second truth, dx = (-x + .6 sin 2x) dt + dW, whose last term is weak, log n
alone is worse by 2.5 standard errors.

    python examples/ergodic_choice.py [results.jsonl]
"""

import json
import sys

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

import filterlearn as fl

GAP = 0.01
DIFFUSIONS = {"g": lambda x: jnp.ones(1), "g sqrt(1 + x^2)": lambda x: jnp.sqrt(1 + x**2)}
DRIFTS = {
    "a x": lambda x: x[None],
    "a x + b": lambda x: jnp.stack([x, jnp.ones(1)]),
    "a x + b x^3": lambda x: jnp.stack([x, x**3]),
    "a x + b sin 2x": lambda x: jnp.stack([x, jnp.sin(2 * x)]),
}
TRUTHS = {"a x": jnp.array([-1.0]), "a x + b sin 2x": jnp.array([-1.0, 0.6])}
PENALTIES = {
    "in stages": lambda n: (np.log(n), np.log(n * GAP)),
    "Akaike": lambda n: (2.0, 2.0),
    "log n": lambda n: (np.log(n), np.log(n)),
}


@eqx.filter_jit
def paths(truth, count, length, key):
    """Paths `(count, length + 1, 1)` by ten Euler steps in each gap."""
    weights, terms, fine = TRUTHS[truth], DRIFTS[truth], GAP / 10

    def step(x, noise):
        return x + fine * (weights @ terms(x)) + fine**0.5 * noise, None

    def gap(x, key):
        x = jax.lax.scan(step, x, jax.random.normal(key, (10, 1)))[0]
        return x, x

    def one(key):
        return jax.lax.scan(gap, jnp.zeros(1), jax.random.split(key, length + 1))[1]

    return jax.vmap(one)(jax.random.split(key, count))


def least(objective, start, series):
    """(the least loss, where), by Newton's method."""
    loss = lambda w: objective.loss(w, series, None)  # noqa: E731
    step = lambda w, _: (w - jnp.linalg.solve(jax.hessian(loss)(w), jax.grad(loss)(w)), None)  # noqa: E731
    w = jax.lax.scan(step, start, None, length=5)[0]
    return loss(w), w


@eqx.filter_jit
def losses(values):
    """Stage one `(paths, diffusions)`, and stage two `(paths, diffusions, drifts)`."""
    like = fl.Dataset(np.arange(2.0), np.zeros((2, 1)))
    times = GAP * jnp.arange(values.shape[1], dtype=values.dtype)

    def one(path):
        series = eqx.tree_at(lambda data: (data.times, data.values), like, (times, path))
        first, second = [], []
        for shape in DIFFUSIONS.values():
            scaled = lambda w, shape=shape: lambda t, x, u: jnp.exp(w[0]) * shape(x)  # noqa: E731
            still = fl.QuasiLikelihood(lambda w, scaled=scaled: fl.SDE(lambda t, x, u: 0 * x, scaled(w)))
            value, scale = least(still, jnp.zeros(1), series)
            first.append(value)
            row, settled = [], scaled(scale)
            for terms in DRIFTS.values():
                build = lambda w, terms=terms, g=settled: fl.SDE(lambda t, x, u: w @ terms(x), g)  # noqa: E731
                row.append(least(fl.QuasiLikelihood(build), jnp.zeros(terms(jnp.zeros(1)).shape[0]), series)[0])
            second.append(jnp.stack(row))
        return jnp.stack(first), jnp.stack(second)

    return jax.lax.map(one, values)


def right(truth, seed, count=100, length=10_000):
    """{criterion: whether it chose the truth `(count,)`}."""
    first, second = map(np.asarray, losses(paths(truth, count, length, jax.random.key(seed))))
    sizes = np.array([terms(jnp.zeros(1)).shape[0] for terms in DRIFTS.values()])
    found = {}
    for name, penalty in PENALTIES.items():
        rough, smooth = penalty(length)
        diffusion = np.argmin(2 * first + rough, axis=1)
        drift = np.argmin(2 * second[np.arange(count), diffusion] + smooth * sizes, axis=1)
        found[name] = (diffusion == 0) & (drift == list(DRIFTS).index(truth))
    return found


def main(path="results/ergodic_choice.jsonl"):
    """Prints how often each criterion was right, and writes a line for each truth."""
    with open(path, "w") as file:
        for truth in TRUTHS:
            found = right(truth, 1)
            apart = found["in stages"].astype(float) - found["log n"]
            file.write(json.dumps({"truth": truth} | {name: int(each.sum()) for name, each in found.items()}) + "\n")
            words = ", ".join(f"{name} {each.sum()}" for name, each in found.items())
            error = max(apart.std() / len(apart) ** 0.5, 1e-9)
            print(f"{truth}: right of 100: {words}; in stages beats log n by {apart.mean() / error:.1f} errors", flush=True)


if __name__ == "__main__":
    jax.config.update("jax_enable_x64", True)
    main(*sys.argv[1:])
