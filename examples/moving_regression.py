"""Learners on a regression whose coefficients wander, against the exact posterior variance.

y = u'theta + e with u ~ N(0, I_3) known, e ~ N(0, 1), theta_0 ~ N(0, I), then a random walk of variance .01 per step and
entry. 2,000 steps, the first 500 dropped. Score: the mean squared error of theta over the mean of tr P, the exact posterior
variance on the inputs of the run; the mean over seeds 0 to 49 and its standard error. The memory of forgetting and the
constant gain are tuned on seeds 1,000 to 1,009. Targets: 1.00 +- .05 for the exact filter, at most 1.5 for the others, at
most 1.15 with the scale of motion learned. Recursive least squares with forgetting .90, a memory of -1 / log .90 = 9.5,
reaches 1.02, least mean squares with gain .1 1.11 (Ljung & Soderstrom 1983, ISBN 9780262120951).

    python examples/moving_regression.py [results.jsonl]
"""

import functools
import json
import sys

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import optax

import filterlearn as fl

SEEDS, TUNING = tuple(range(50)), tuple(range(1000, 1010))
STEPS, BURN, SCALE = 2000, 500, 0.1
MEMORIES, GAINS = (5.0, 7.0, 10.0, 14.0, 20.0), (0.05, 0.07, 0.1, 0.14, 0.2)


def regression(motion, sd=1.0):
    """The family of y = u'theta + e whose theta moves by `motion`, from N(0, sd^2 I)."""

    def build(p):
        still = fl.LinearDiscrete([[0.0]], [[0.0]])
        seen = fl.LinearGaussianObservation([[0.0]], [[1.0]], lambda t, u: (u @ p["theta"])[None])
        return fl.StateSpaceModel(fl.Gaussian([0.0], 0.0), still, seen)

    return fl.ModelFamily(build, {"theta": fl.Parameter(dist.Normal(jnp.zeros(3), sd), motion)})


def wandering():
    """The same theta as a state: its scale of motion is the parameter, about .4 before any datum, between .02 and 7."""

    def build(p):
        walk = fl.LinearDiscrete(jnp.eye(3), p["scale"] ** 2 * jnp.eye(3))
        return fl.StateSpaceModel(
            fl.Gaussian(jnp.zeros(3), 1.0), walk, fl.LinearGaussianObservation(lambda t, u: u[None], [[1.0]])
        )

    return fl.ModelFamily(build, {"scale": fl.Parameter(dist.LogNormal(-1.0, 1.5))})


def parameters(belief, info):
    """Mean of theta, and the variance stated for it, where it is the parameter."""
    return belief.parameters.mean, jnp.trace(belief.parameters.covariance)


def state(belief, info):
    """The same, where theta is the state."""
    return belief.mean, jnp.trace(belief.covariance)


EXACT = fl.Joint(fl.ExtendedKalman())  # the regression is linear in theta


def walking(family, scale):
    """The family with another scale of motion."""
    return eqx.tree_at(lambda f: f.parameters["theta"].dynamics.scale, family, scale)


def climbing(gain):
    """Plain stochastic gradients; on this regression least mean squares."""
    return fl.RecursiveMaximumLikelihood(fl.Kalman(), optax.sgd(gain))


@functools.cache
def table():
    """{name: (learner, family, where theta is, what its score must be at most)}."""
    walk = regression(fl.RandomWalk(SCALE))
    return {
        "exact": (EXACT, walk, parameters, 1.05),
        "Joint(EnsembleKalman(100))": (fl.Joint(fl.EnsembleKalman(100)), walk, parameters, 1.5),
        "Joint(ParticleFilter(1000))": (fl.Joint(fl.ParticleFilter(1000)), walk, parameters, 1.5),
        "Nested(Kalman(), 200)": (fl.Nested(fl.Kalman(), 200, move=None), walk, parameters, 1.5),
        "natural gradient": (fl.RecursiveMaximumLikelihood(fl.Kalman(), fl.natural_gradient()), walk, parameters, 1.05),
        "gradient, gain .07": (climbing(0.07), walk, parameters, 1.5),
        "Forgetting(10)": (EXACT, regression(fl.Forgetting(10.0), 100.0), parameters, 1.5),
        "scale learned, Bank": (fl.Bank(EXACT, walking, jnp.geomspace(0.02, 0.8, 6), 1e-3), walk, parameters, 1.05),
        "scale learned, Nested(Kalman(), 100)": (fl.Nested(fl.Kalman(), 100), wandering(), state, 1.15),
    }


def stream(seed, motion=SCALE, jump=0.0):
    """A run's data and its theta, which jumps at half time."""
    rng = np.random.default_rng(seed)
    inputs, noise = rng.normal(size=(STEPS, 3)), rng.normal(size=STEPS)
    theta = rng.normal(size=3) + np.cumsum(motion * rng.normal(size=(STEPS, 3)), axis=0)
    theta += jump * (np.arange(STEPS) >= STEPS // 2)[:, None]
    return fl.Dataset(np.arange(float(STEPS)), (inputs * theta).sum(1) + noise, inputs), theta


def errors(learner, family, save, data, theta, seed=0):
    """Squared errors of theta, and the variances that the learner states, step by step."""
    mean, variance = fl.run(learner, family, data, key=jax.random.key(seed), save=save).saved
    return np.sum((np.asarray(mean) - theta) ** 2, axis=1), np.asarray(variance)


def scores(learner, family, save, seeds):
    """(mean squared error, exact variance, that of no learning) of each run after burn-in."""
    rows = []
    for seed in seeds:
        data, theta = stream(seed)
        error = errors(learner, family, save, data, theta, seed)[0]
        exact = errors(*table()["exact"][:3], data, theta)[1]
        rows.append([part[BURN:].mean() for part in (error, exact, (theta**2).sum(1))])
    return np.array(rows)


def ratio(rows, column=0):
    """Mean squared error over exact variance, and its standard error over the runs."""
    value = rows[:, column].mean() / rows[:, 1].mean()
    return value, (rows[:, column] - value * rows[:, 1]).std(ddof=1) / rows[:, 1].mean() / len(rows) ** 0.5


def tuned():
    """The scores of each memory and of each gain on the tuning seeds."""
    walk = table()["exact"][1]
    tried = {f"memory {m:g}": (EXACT, regression(fl.Forgetting(m), 100.0)) for m in MEMORIES}
    tried |= {f"gain {g:g}": (climbing(g), walk) for g in GAINS}
    return {name: ratio(scores(*pair, parameters, TUNING))[0] for name, pair in tried.items()}


def constant_against_falling(seeds=SEEDS):
    """{what happens: {learner: (constant gain, gain falling as 1 / t)}}, mean squared errors in the 200 steps after theta
    jumped by 3 in each entry, and in the second half when it stays. The exact filter's gain falls when it takes theta for
    still."""
    walk, still, falling = table()["exact"][1], regression(fl.Static()), climbing(lambda count: 1 / (10 + count))
    pairs = {"exact": ((EXACT, walk), (EXACT, still)), "gradient": ((climbing(0.07), still), (falling, still))}
    out = {}
    for what, jump, window in (("jump", 3.0, slice(1000, 1200)), ("still", 0.0, slice(1000, 2000))):
        streams = [stream(seed, 0.0, jump) for seed in seeds]
        out[what] = {
            name: tuple(np.mean([errors(*one, parameters, *each)[0][window].mean() for each in streams]) for one in pair)
            for name, pair in pairs.items()
        }
    return out


def main(path="results/moving_regression.jsonl"):
    """Prints the tables and writes the score of each seed."""
    print("tuning:", ", ".join(f"{name} {score:.3f}" for name, score in tuned().items()))
    print(f"{'squared error / exact variance, 50 runs':40s} {'unlearned':>9s} {'ours':>7s} {'se':>6s} {'at most':>7s}")
    with open(path, "w") as file:
        for name, (learner, family, save, most) in table().items():
            rows = scores(learner, family, save, SEEDS)
            for seed, (error, exact, _) in zip(SEEDS, rows, strict=True):
                file.write(json.dumps({"name": name, "seed": seed, "error": error, "exact": exact}) + "\n")
            ours, se = ratio(rows)
            print(f"{name:40s} {ratio(rows, 2)[0]:9.1f} {ours:7.3f} {se:6.4f} {most:7.2f}", flush=True)
    for what, pairs in constant_against_falling().items():
        for name, (constant, falling) in pairs.items():
            print(
                f"{what}, {name}: squared error {constant:.4f} with a constant gain, {falling:.4f} with one falling as 1 / t"
            )


if __name__ == "__main__":
    jax.config.update("jax_enable_x64", True)
    main(*sys.argv[1:])
