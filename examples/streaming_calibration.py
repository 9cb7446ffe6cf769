"""A fleet of simulated worlds: is each learner calibrated while the stream goes on?

A level dx = -.5 x dt + .6 dW is seen through y = x + u'theta + e, e ~ N(0, .5), u ~ N(0, I_2) known and the same in all
worlds, at times 1 to 1,000; theta_0 ~ N((.5, -.5), I) walks by .1 a step. After 10, 100 and 1,000 data theta and x are ranked
among 99 draws of the belief. Target: ranks uniform at all times for the exact learner in 1,000 worlds, Bonferroni p > .01;
beside it the share of the truth inside central 90 % intervals for all learners, in 200 worlds (standard error .021). In
`wrong` the world's walk is twice that believed.

    python examples/streaming_calibration.py [results.jsonl]
"""

import json
import sys
import time

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import optax

import filterlearn as fl

STEPS, AT, WORLDS, FEWER, LEAST = 1000, (10, 100, 1000), 1000, 200, 0.01


def build(p):
    """The level and its regression."""
    offset = lambda t, u: (u @ p["theta"])[None]  # noqa: E731
    seen = fl.LinearGaussianObservation([[1.0]], [[0.5]], offset)
    return fl.StateSpaceModel(fl.Gaussian([0.0], 0.36, time=0.0), fl.LinearSDE([[-0.5]], [[0.6]]), seen)


def family(scale=0.1):
    """theta walks by `scale` a step."""
    prior = dist.Normal(jnp.array([0.5, -0.5]), 1.0)
    return fl.ModelFamily(build, {"theta": fl.Parameter(prior, fl.RandomWalk(jnp.asarray(scale)))})


def rescaled(family, scale):
    """The family with another scale of motion."""
    return eqx.tree_at(lambda f: f.parameters["theta"].dynamics.scale, family, scale)


EXACT = fl.Joint(fl.ExtendedKalman())


def learners():
    """{name: learner}."""
    return {
        "Joint(ExtendedKalman())": EXACT,
        "Joint(SigmaPoint())": fl.Joint(fl.SigmaPoint()),
        "Joint(EnsembleKalman(100))": fl.Joint(fl.EnsembleKalman(100)),
        "Joint(ParticleFilter(1000))": fl.Joint(fl.ParticleFilter(1000)),
        "Nested(Kalman(), 200, LiuWest(.98))": fl.Nested(fl.Kalman(), 200, fl.LiuWest(0.98)),
        "Nested(Kalman(), 200, None)": fl.Nested(fl.Kalman(), 200, None),
        "RecursiveMaximumLikelihood, natural": fl.RecursiveMaximumLikelihood(fl.Kalman(), fl.natural_gradient()),
        "RecursiveMaximumLikelihood, sgd(.02)": fl.RecursiveMaximumLikelihood(fl.Kalman(), optax.sgd(0.02)),
        "LowRank(Kalman(), 2)": fl.LowRank(fl.Kalman(), 2),
        "Bank over six scales": fl.Bank(EXACT, rescaled, jnp.geomspace(0.01, 1.0, 6), 1e-3),
        "Monitored(Joint, Wager(1e-4), 0)": fl.Monitored(EXACT, fl.Wager(1e-4), 0.0),
    }


def row(name, learner, worlds, truth=None, steps=STEPS, at=AT, seed=0):
    """p-values, coverage and words of one learner."""
    begun, inputs = time.perf_counter(), np.random.default_rng(0).normal(size=(steps, 2))
    times = np.arange(1.0, steps + 1)
    found = fl.calibrate_stream(
        learner, family(), times, at=at, truth=truth, inputs=inputs, worlds=worlds, key=jax.random.key(seed)
    )
    scores = {"p": found.p_values, "in_90": found.coverage(0.9), "words": found.words}
    return {"learner": name, "worlds": worlds} | scores | {"seconds": time.perf_counter() - begun}


def table():
    """The exact learner in the full fleet, in its own world and in another, then all of them in fewer worlds."""
    yield row("exact", EXACT, WORLDS)
    yield row("wrong", EXACT, WORLDS, truth=family(0.2))
    for name, learner in learners().items():
        yield row(name, learner, FEWER)


def main(path="results/streaming_calibration.jsonl"):
    """Prints the table and writes its rows."""
    names = "".join(f"{f'{name} at {k}':>16s}" for k in AT for name in ("x", "theta 1", "theta 2"))
    print(f"{'in 90 %':38s}{names}     least p     s")
    with open(path, "w") as file:
        for each in table():
            file.write(json.dumps(each) + "\n")
            inside = "".join(f"{share:16.3f}" for share in each["in_90"].values())
            print(f"{each['learner']:38s}{inside} {min(each['p'].values()):11.2g} {each['seconds']:5.0f}", flush=True)


if __name__ == "__main__":
    jax.config.update("jax_enable_x64", True)
    main(*sys.argv[1:])
