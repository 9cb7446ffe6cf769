"""A neural jump SDE learned from events: what flows between events, what jumps at them, and the intensity are networks.

    z = (c, h):   dc = tanh F(z) dt made orthogonal to c,   dh = -2 sigmoid(G(c)) h dt,   h + W(c) after an event,
    intensity softplus(L(z)),

with 3 and 2 entries, networks of one hidden layer of 20 units, Runge-Kutta steps of at most 1; data: 300 sequences on
[0, 100] for training, 50 to stop by and 100 for the scores, of a Hawkes process with intensity .2 + .8 sum exp(-(t - t_i))
(needs FILTERLEARN_DATA). Scores on the last 100: minus the log-likelihood of a sequence (integral of the intensity minus the
sum of its logarithms at the events), at most 46.5, where the truth has 44.94 and a constant rate 100.0; and the mean over
time and sequences of abs(intensity - truth) / truth, at most 10 %, published 5.9 % (Jia & Benson 2019, arXiv:1905.10403).

    python examples/neural_jumps.py [results.json]
"""

import json
import os
import sys
import time
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax

import filterlearn as fl

END, BASE, JUMP, DECAY = 100.0, 0.2, 0.8, 1.0
HALF, GAP, FINE = 50.0, 0.5, 0.1  # what is trained on, at which step; that of the scores
INNER, MEMORY, WIDTH = 3, 2, 20
STEPS, BATCH, RATE = 600, 20, 1e-2
MOST_LOSS, MOST_ERROR = 46.5, 0.10
FILTER = fl.ParticleFilter(2)  # the state has no noise: two equal particles


class NeuralJumps(eqx.Module):
    """The four networks, and the state at the start."""

    inner: fl.Network
    decay: fl.Network
    jump: fl.Network
    level: fl.Network
    start: jax.Array

    def __init__(self, key):
        size, (*keys, last) = INNER + MEMORY, jax.random.split(key, 5)
        sizes = ((size, INNER), (INNER, MEMORY), (INNER, MEMORY), (size, 1))
        networks = [
            fl.Network(*ends, width=WIDTH, activation=jax.nn.celu, key=k) for ends, k in zip(sizes, keys, strict=True)
        ]
        self.inner, self.decay, self.jump, self.level = networks
        self.start = jax.random.normal(last, (size,))

    def flow(self, t, z, u):
        """The drift between events."""
        c, h = z[:INNER], z[INNER:]
        f = jnp.tanh(self.inner(z))
        return jnp.concatenate([f - c * (f @ c) / (c @ c + 1e-6), -2 * jax.nn.sigmoid(self.decay(c)) * h])

    def kick(self, t, z, u):
        """The state after an event, or unchanged where there was none."""
        return z.at[INNER:].add(u[0] * self.jump(z[:INNER]))

    def intensity(self, t, z, u):
        """Events per unit of time."""
        return jax.nn.softplus(self.level(z)[0])


def model(module):
    """The events of a neural jump SDE."""
    size = INNER + MEMORY
    sde = fl.SDE(module.flow, np.zeros((size, 0))).with_integral(module.intensity)
    moved = fl.JumpsAtData(fl.RungeKutta(sde, steps=1), module.kick, reset=1)
    start = fl.Gaussian.of(jnp.append(module.start, 0.0), jnp.zeros((size + 1, size + 1)), jnp.zeros(()))
    return fl.StateSpaceModel(start, moved, fl.PointProcess(module.intensity))


def sequences(part):
    """The times of the events of each sequence of a part of the data."""
    path = Path(os.environ["FILTERLEARN_DATA"]) / "point_processes" / f"exponential_hawkes_{part}.csv"
    return [np.array(line.split(";")[0].split(), float) for line in path.read_text().splitlines()]


def laid_out(events, gap, end=END):
    """The sequences up to a time, rows at most `gap` apart, stacked."""
    return fl.stacked([fl.event_data(times[times <= end], end, gap=gap) for times in events])


def exact(times):
    """Minus the log-likelihood of a sequence under the process that made it."""
    raised, last, total = 0.0, 0.0, 0.0
    for t in times:
        raised, last = raised * np.exp(-DECAY * (t - last)), t
        total, raised = total + np.log(BASE + raised), raised + JUMP
    return BASE * END + JUMP / DECAY * -np.expm1(-DECAY * (END - times)).sum() - total


def constant(events, training):
    """Minus the mean log-likelihood of a constant rate, that of the training data."""
    rate = np.mean([len(times) for times in training]) / END
    return np.mean([rate * END - len(times) * np.log(rate) for times in events])


def true_intensities(times, at):
    """The intensity of the truth just before each time."""
    apart = at[:, None] - times
    return BASE + JUMP * np.where(apart > 0, np.exp(-DECAY * np.maximum(apart, 0.0)), 0.0).sum(1)


@eqx.filter_jit
def losses(module, data):
    """Minus the log evidence of each sequence."""
    return jax.lax.map(lambda each: -fl.log_evidence(FILTER, model(module), each, key=jax.random.key(0)), data, batch_size=25)


@eqx.filter_jit
def intensities(module, data):
    """The intensity at each row of a sequence."""
    trajectory = fl.run(FILTER, model(module), data, key=jax.random.key(0), save=lambda belief, info: belief.points[0, :-1])
    return jax.vmap(lambda z: module.intensity(0.0, z, None))(trajectory.saved)


def error(module, events, gap=FINE):
    """The mean of abs(intensity - truth) / truth over an even grid of times between events."""
    offs = []
    longest = max(len(fl.event_data(times, END, gap=gap)) for times in events)
    for times in events:
        data = fl.event_data(times, END, gap=gap)
        at, quiet = np.asarray(data.times), np.asarray(data.values)[:, 0] == 0
        full = fl.stacked([data, fl.Dataset(np.zeros(longest), np.zeros(longest), np.zeros((longest, 1)))])
        ours = np.asarray(intensities(module, jax.tree.map(lambda leaf: leaf[0], full)))[: len(at)]
        truth = true_intensities(times, at)
        weights = np.diff(at, prepend=0.0) * quiet  # rows are closer after events
        offs.append(np.sum(weights * np.abs(ours - truth) / truth) / weights.sum())
    return float(np.mean(offs))


def learned(seed, training, validation, steps=STEPS, progress=None):
    """The networks after so many steps."""
    rate = optax.cosine_decay_schedule(RATE, max(steps, 1))
    optimiser = optax.chain(optax.clip_by_global_norm(10.0), optax.adamw(rate, weight_decay=1e-5))
    return fl.train(
        fl.Evidence(model, FILTER),
        NeuralJumps(jax.random.key(seed)),
        training,
        optimiser=optimiser,
        steps=steps,
        batch=BATCH,
        key=jax.random.key(seed),
        held_out=validation,
        every=100,
        progress=progress,
    ).module


def score(module, events):
    """Minus the log-likelihood of a sequence, and the error of the intensity."""
    return {"loss": float(losses(module, laid_out(events, FINE)).mean()), "error": error(module, events)}


def main(path="results/neural_jumps.json"):
    """Prints the scores of the truth, of what is trivial, untrained, and ours."""
    train, validation, test = (sequences(part) for part in ("training", "validation", "testing"))
    begun = time.process_time()
    module = learned(
        0, laid_out(train, GAP, HALF), laid_out(validation[:30], FINE, HALF), progress=lambda text: print(text, flush=True)
    )
    seconds = time.process_time() - begun
    table = {
        "truth": {"loss": float(np.mean([exact(times) for times in test])), "error": 0.0},
        "constant rate": {"loss": float(constant(test, train))},
        "untrained": score(NeuralJumps(jax.random.key(0)), test),
        "learned": score(module, test) | {"seconds": seconds},
    }
    for name, row in table.items():
        print(f"{name:14s}", {key: round(value, 3) for key, value in row.items()})
    print("target        ", {"loss": MOST_LOSS, "error": MOST_ERROR})
    Path(path).write_text(json.dumps(table))


if __name__ == "__main__":
    jax.config.update("jax_enable_x64", True)
    main(*sys.argv[1:])
