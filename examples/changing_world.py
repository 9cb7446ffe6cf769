"""Every learner on the same streams: coefficients that stay, walk, jump and drift smoothly.

y = u'theta + e with u ~ N(0, I_3) known, e ~ N(0, 1), theta_0 ~ N(0, I), 1,000 steps; the learners' prior is N(0, 16 I).
Still: theta stays. Walk: by .1 a step. Jump: the same walk, and at step 500 every entry jumps by 3, up or down. Drift: every
entry is 1.5 sin(2 pi t / 500 + phase). Scores over the runs of seeds 0 to 19: the mean squared error of theta from step 250
on (of the jump: before it) over the recursive posterior Cramer-Rao bound of the law of motion (of the drift: of the walk that
suits it best); the share of entries inside their 90 % bands; the recovery, the steps from the jump until the mean over runs
and five steps is within twice the error before it. Memories, gains and the scale of that walk are tuned on seeds 1,000 to
1,009, for the error on each stream. The target: a learner that watches its surprise recovers in fewer steps than the best
fixed forgetting, with no worse an error before.

Neural: a double well dx = (x - x^3) dt + .6 dW, seen 2,000 times through noise of sd .1, its drift a network of 25 weights
with prior N(its start, 1), learned in one pass: log score of one step over the second half, and the share of data in their
90 % bands.

    python -m examples.changing_world [results.jsonl]
"""

import functools
import json
import sys
import time

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax

import filterlearn as fl
from examples.moving_regression import EXACT, climbing, regression, walking

SEEDS, TUNING = tuple(range(20)), tuple(range(1000, 1010))
STEPS, CHANGE, SETTLED, WINDOW = 1000, 500, 250, 5
STREAMS = ("still", "walk", "jump", "drift")
SCALE = {"still": 0.0, "walk": 0.1, "jump": 0.1}
MEMORIES, GAINS, SCALES = (5.0, 10.0, 20.0, 50.0, 1000.0), (0.01, 0.03, 0.05, 0.07, 0.1), (0.02, 0.04, 0.06, 0.1, 0.15)


def wide(motion):
    """The regression with the prior that the learners take."""
    return regression(motion, 4.0)


def truth(stream, rng):
    """theta at every step."""
    start, walk = rng.normal(size=3), np.cumsum(rng.normal(size=(STEPS, 3)), axis=0)
    if stream == "drift":
        return 1.5 * np.sin(2 * np.pi * (np.arange(STEPS)[:, None] / 500 + rng.uniform(size=3)))
    jumps = 3.0 * rng.choice([-1.0, 1.0], 3) * (np.arange(STEPS)[:, None] >= CHANGE)
    return start + SCALE[stream] * walk + jumps * (stream == "jump")


@functools.cache
def runs(stream, seeds):
    """(the data of all runs, stacked; theta)."""
    rngs = [np.random.default_rng(seed) for seed in seeds]
    theta = np.array([truth(stream, rng) for rng in rngs])
    inputs, noise = (np.array([rng.normal(size=size) for rng in rngs]) for size in ((STEPS, 3), STEPS))
    values = (inputs * theta).sum(2) + noise
    data = [fl.Dataset(np.arange(float(STEPS)), y, u) for y, u in zip(values, inputs, strict=True)]
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *data), theta


def told(belief, info):
    """Mean and 90 % band of theta."""
    return belief.parameters.mean, belief.parameters.quantile(jnp.array([0.05, 0.95]))


@eqx.filter_jit
def filtered(learner, problem, data, keys):
    one = lambda data, key: fl.run(learner, problem, data, key=key, save=told).saved  # noqa: E731
    return eqx.filter_vmap(one)(data, keys)


def scores(learner, problem, stream, seeds=SEEDS):
    """(squared errors `(runs, T)`, whether each entry is inside its band `(runs, T, 3)`)."""
    data, theta = runs(stream, seeds)
    mean, band = filtered(learner, problem, data, jax.vmap(jax.random.key)(jnp.array(seeds)))
    inside = (band[:, :, 0] <= theta) & (theta <= band[:, :, 1])
    return np.asarray(((mean - theta) ** 2).sum(2)), np.asarray(inside)


def steady(errors, stream):
    """The error of each run where it has settled."""
    return errors[:, SETTLED : CHANGE if stream == "jump" else STEPS].mean(1)


def recovery(errors):
    """Steps from the jump until the mean over runs and five steps is within twice its value before."""
    mean = errors.mean(0)
    after = np.convolve(mean[CHANGE:], np.ones(WINDOW) / WINDOW, mode="valid")
    back = after <= 2 * mean[SETTLED:CHANGE].mean()
    return int(np.argmax(back)) + WINDOW if back.any() else None


@functools.cache
def bound(stream):
    """The recursive posterior Cramer-Rao bound of theta in each run, step by step `(runs, T)`."""
    data, problem = runs(stream, SEEDS)[0], moving(stream)
    one = lambda each: jnp.trace(fl.tracking_bound(problem, each, draws=1).parameters, axis1=1, axis2=2)  # noqa: E731
    return np.asarray(eqx.filter_vmap(one)(data))  # one draw, as the model is linear and Gaussian


@functools.cache
def moving(stream):
    """The family whose motion is that of the stream, a still one kept still; for the drift the walk that suits it best."""
    if stream == "drift":
        return best(stream, [(EXACT, wide(fl.RandomWalk(jnp.asarray(scale)))) for scale in SCALES])[1]
    return wide(fl.RandomWalk(jnp.asarray(SCALE[stream])) if SCALE[stream] else fl.Static())


def best(stream, candidates):
    """The candidate (learner, family) with the least error on the tuning seeds; of the jump, over the whole of it."""
    errors = [scores(*each, stream, TUNING)[0][:, SETTLED:].mean() for each in candidates]
    return candidates[int(np.argmin(errors))]


def table(stream):
    """{name: (learner, family)}."""
    own, rate = moving(stream), {"jump": 1 / 500}.get(stream, 1 / 2000)
    walk = None if stream == "still" else own.parameters["theta"].dynamics
    grid = jnp.geomspace(0.002, 0.8, 6)
    return {
        "Joint(ExtendedKalman())": (EXACT, own),
        "Joint(SigmaPoint())": (fl.Joint(fl.SigmaPoint()), own),
        "Joint(EnsembleKalman(100))": (fl.Joint(fl.EnsembleKalman(100)), own),
        "Joint(ParticleFilter(1000))": (fl.Joint(fl.ParticleFilter(1000)), own),
        "Nested(Kalman(), 200)": (fl.Nested(fl.Kalman(), 200, fl.LiuWest(0.98)), own),
        "natural gradient": (fl.RecursiveMaximumLikelihood(fl.Kalman(), fl.natural_gradient()), own),
        "gradient, tuned gain": best(stream, [(climbing(gain), own) for gain in GAINS]),
        "Forgetting, tuned memory": best(stream, [(EXACT, wide(fl.Forgetting(memory))) for memory in MEMORIES]),
        "Bank over six scales": (fl.Bank(EXACT, walking, grid, 1e-2), wide(fl.RandomWalk(jnp.asarray(0.1)))),
        "ChangePoint, by moments": (EXACT, wide(fl.ChangePoint(rate, walk))),
        "ChangePoint, Nested(Kalman(), 500)": (fl.Nested(fl.Kalman(), 500, None), wide(fl.ChangePoint(rate, walk))),
        "Monitored(Joint(ExtendedKalman()), kept=0)": (fl.Monitored(EXACT, fl.Wager(1e-4), 0.0), own),
    }


def cost(learner, problem):
    """(microseconds an observation, bytes of the belief), on a run of its own."""
    data = jax.tree.map(lambda leaf: leaf[0], runs("walk", SEEDS)[0])
    once = eqx.filter_jit(lambda key: fl.run(learner, problem, data, key=key, save=lambda b, i: i.log_evidence).last)
    belief = jax.block_until_ready(once(jax.random.key(0)))
    start = time.perf_counter()
    jax.block_until_ready(once(jax.random.key(1)))
    return (time.perf_counter() - start) / STEPS * 1e6, sum(leaf.nbytes for leaf in jax.tree.leaves(belief))


def false_alarms(learner, problem):
    """Alarms of a `Wager` at one in 1,000 data, of each walking stream."""
    save = lambda belief, info: (info.flags & fl.protocol.SURPRISED) > 0  # noqa: E731
    watched, keys = fl.Monitored(learner, fl.Wager(1e-3)), jax.vmap(jax.random.key)(jnp.array(SEEDS))
    one = lambda data, key: fl.run(watched, problem, data, key=key, save=save).saved  # noqa: E731
    return np.asarray(eqx.filter_vmap(one)(runs("walk", SEEDS)[0], keys)).sum(1)


def drift_family():
    """dx = f(x) dt + .6 dW, f a network of 25 weights, x seen through noise, every half unit of time."""

    def build(network, values):
        sde = fl.SDE(lambda t, x, u: network(x), jnp.array([0.6]))
        return well(sde)

    network = eqx.nn.MLP(1, 1, 8, 1, jnp.tanh, key=jax.random.key(0))
    return fl.ModelFamily.from_module(network, build, where=lambda net: net, scale=1.0)


def well(sde):
    """The model of an SDE on the line, from the right-hand well."""
    return fl.StateSpaceModel(
        fl.Gaussian([1.0], 0.1, time=0.0), fl.EulerMaruyama(sde, steps=5), fl.LinearGaussianObservation([[1.0]], [[0.01]])
    )


@functools.cache
def neural_runs():
    """(the true model, 2,000 observations of it for each of five seeds): a double well, f(x) = x - x^3."""
    model, times = well(fl.SDE(lambda t, x, u: x - x**3, jnp.array([0.6]))), 0.5 * jnp.arange(1.0, 2001.0)
    draws = [fl.simulate(model, times, key=jax.random.key(seed))[1] for seed in SEEDS[:5]]
    return model, [fl.Dataset(times, values) for values in draws]


def neural(learner, problem):
    """(log score of one step, share of data inside the 90 % band of their prediction) of each seed, over the second half."""
    save = lambda belief, info: (info.log_evidence, info.pit[0])  # noqa: E731
    rows = []
    for seed, data in enumerate(neural_runs()[1]):
        score, pit = fl.run(learner, problem, data, key=jax.random.key(seed), save=save).saved
        rows.append([score[1000:].mean(), ((pit > 0.05) & (pit < 0.95))[1000:].mean()])
    return np.array(rows)


NEURAL = {
    "Joint(ExtendedKalman())": fl.Joint(fl.ExtendedKalman()),
    "Joint(EnsembleKalman(100))": fl.Joint(fl.EnsembleKalman(100)),
    "Joint(ParticleFilter(1000))": fl.Joint(fl.ParticleFilter(1000)),
    "Nested(ExtendedKalman(), 200)": fl.Nested(fl.ExtendedKalman(), 200),
    "natural gradient": fl.RecursiveMaximumLikelihood(fl.ExtendedKalman(), fl.natural_gradient()),
    "gradient, Adam .01": fl.RecursiveMaximumLikelihood(fl.ExtendedKalman(), optax.adam(0.01)),
    "LowRank(ExtendedKalman(), 8)": fl.LowRank(fl.ExtendedKalman(), 8),
    "Monitored(Joint(ExtendedKalman()), kept=0)": fl.Monitored(fl.Joint(fl.ExtendedKalman()), fl.Wager(1e-4), 0.0),
}


def main(path="results/changing_world.jsonl"):
    """Prints the table and writes the score of each seed."""
    heads = ("learner", "stream", "error", "se", "in 90 %", "back in", "us", "bytes")
    print("{:44s} {:6s} {:>7s} {:>6s} {:>7s} {:>7s} {:>7s} {:>6s}".format(*heads))
    with open(path, "w") as file:
        for stream in STREAMS:
            least = steady(bound(stream), stream).mean()
            for name, (learner, problem) in table(stream).items():
                errors, inside = scores(learner, problem, stream)
                each, covered = steady(errors, stream), steady(inside.mean(2), stream)
                for seed, error, share in zip(SEEDS, each, covered, strict=True):
                    file.write(
                        json.dumps({"name": name, "stream": stream, "seed": seed, "error": error, "covered": share}) + "\n"
                    )
                back = recovery(errors) if stream == "jump" else None
                micros, size = cost(learner, problem)
                print(
                    f"{name:44s} {stream:6s} {each.mean() / least:7.3f} {each.std(ddof=1) / least / len(each) ** 0.5:6.3f} "
                    f"{covered.mean():7.3f} {back or '':>7} {micros:7.1f} {size:6d}",
                    flush=True,
                )
    print("\nfalse alarms in 1,000 data of the walk, at a rate of at most 1:")
    for name, (learner, problem) in table("walk").items():
        if not isinstance(learner, fl.Monitored):
            counts = false_alarms(learner, problem)
            print(f"{name:44s} {counts.mean():5.2f} {counts.std(ddof=1) / len(counts) ** 0.5:5.2f}", flush=True)
    model, unknown = neural_runs()[0], drift_family()
    rows = {"nothing learned": (fl.ExtendedKalman(), unknown(unknown.median)), "the true drift": (fl.ExtendedKalman(), model)}
    print(f"\n{'a neural drift':44s} {'log score':>9s} {'se':>6s} {'in 90 %':>7s}")
    for name, (learner, problem) in (rows | {name: (learner, unknown) for name, learner in NEURAL.items()}).items():
        each = neural(learner, problem)
        se = each[:, 0].std(ddof=1) / len(each) ** 0.5
        print(f"{name:44s} {each[:, 0].mean():9.4f} {se:6.4f} {each[:, 1].mean():7.3f}", flush=True)


if __name__ == "__main__":
    jax.config.update("jax_enable_x64", True)
    main(*sys.argv[1:])
