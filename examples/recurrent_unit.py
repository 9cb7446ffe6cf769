"""A continuous recurrent unit against a recurrent network that is told the gaps: the angle of a pendulum from noisy pictures.

    d angle = v dt,   dv = -(2 sin angle + .2 v) dt + .4 dW,   seen at 30 irregular times, gaps exponential of mean .5,

as 12 numbers tanh(B (sin angle, cos angle)), noise of sd .7, with a fixed random B. Asked for: sine and cosine of the angle,
as a mean and a variance, after each picture; 300 series for training, 50 to stop by, 200 for the scores. The unit: an encoder
to 3 numbers with variances, `MixedLinear` of 6 states and 8 matrices under `ExtendedKalman`, a decoder of mean and standard
deviations. The rival: a gated recurrent unit of 16 entries, fed the encoded picture and the gap, with a like decoder, trained
alike. Scores: mean squared error and minus the log density of an entry; target: both below the rival's (after Schirmer et al.
2022, arXiv:2111.11344).

    python examples/recurrent_unit.py [results.json]
"""

import functools
import json
import sys
import time
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax

import filterlearn as fl

LENGTH, GAP, PIXELS, BLUR = 30, 0.5, 12, 0.7
LATENT, STATES, MATRICES, WIDTH, RIVAL = 3, 6, 8, 24, 16
SIZES = {"training": 300, "validation": 50, "testing": 200}
STEPS, BATCH, RATE = 300, 30, 1e-2
KALMAN = fl.ExtendedKalman()


def series(part, sizes=SIZES):
    """(Datasets of pictures, sines and cosines) of a part of the data, drawn not by this library."""
    rng, lens = np.random.default_rng(list(SIZES).index(part)), np.random.default_rng(99).normal(size=(2, PIXELS))
    n, h = sizes[part], 0.01
    times = np.cumsum(np.maximum(rng.exponential(GAP, (n, LENGTH)), h), axis=1)
    angle, v, told = rng.uniform(-np.pi, np.pi, n), rng.normal(size=n), np.zeros((n, LENGTH, 2))
    for k in range(int(times.max() / h) + 1):
        here = np.floor(times / h) == k
        told[here] = np.stack([np.sin(angle), np.cos(angle)], axis=1)[np.nonzero(here)[0]]
        angle, v = angle + h * v, v - h * (2 * np.sin(angle) + 0.2 * v) + 0.4 * h**0.5 * rng.normal(size=n)
    pictures = np.tanh(told @ lens) + BLUR * rng.normal(size=(n, LENGTH, PIXELS))
    return fl.stacked([fl.Dataset(t, y) for t, y in zip(times, pictures, strict=True)]), jnp.asarray(told)


class Unit(eqx.Module):
    """The continuous recurrent unit."""

    encoder: fl.Network
    mixture: fl.Network
    decoder: fl.Network
    matrices: jax.Array
    noise: jax.Array

    def __init__(self, key):
        keys = jax.random.split(key, 4)
        self.encoder = fl.Network(PIXELS, 2 * LATENT, width=WIDTH, key=keys[0])
        self.mixture = fl.Network(STATES, MATRICES, depth=0, key=keys[1])
        self.decoder = fl.Network(2 * STATES, 4, width=WIDTH, key=keys[2])
        turn = jnp.block([[jnp.zeros((LATENT, LATENT)), jnp.eye(LATENT)], [-jnp.eye(LATENT), -0.2 * jnp.eye(LATENT)]])
        self.matrices = turn + 0.3 * jax.random.normal(keys[3], (MATRICES, STATES, STATES))
        self.noise = jnp.zeros(STATES)

    def model(self):
        """A mixture of linear SDEs, the first half of whose states is seen."""
        move = fl.MixedLinear(self.matrices, lambda x: jax.nn.softmax(self.mixture(x)), jax.nn.softplus(self.noise))
        seen = fl.LinearGaussianObservation(jnp.eye(LATENT, STATES), lambda t, u: jnp.diag(u))
        start = fl.Gaussian.of(jnp.zeros(STATES), jnp.eye(STATES), jnp.full((), -jnp.inf))
        return fl.StateSpaceModel(start, move, seen)

    def code(self, picture):
        """What a picture says, and how surely."""
        out = self.encoder(picture)
        return out[:LATENT], jax.nn.softplus(out[LATENT:]) + 1e-3

    def __call__(self, data):
        """Mean and sd of the targets after each datum."""

        def features(belief, info):
            return jnp.concatenate([belief.mean, jnp.sqrt(jnp.diagonal(belief.covariance))])

        return jax.vmap(self.decoder)(fl.run(KALMAN, self.model(), fl.encoded(self.code, data), save=features).saved)


class Recurrent(eqx.Module):
    """A gated recurrent unit that is told the gaps."""

    encoder: fl.Network
    cell: eqx.nn.GRUCell
    decoder: fl.Network

    def __init__(self, key):
        keys = jax.random.split(key, 3)
        self.encoder = fl.Network(PIXELS, 2 * LATENT, width=WIDTH, key=keys[0])
        self.cell = eqx.nn.GRUCell(2 * LATENT + 1, RIVAL, key=keys[1])
        self.decoder = fl.Network(RIVAL, 4, width=WIDTH, key=keys[2])

    def __call__(self, data):
        """Mean and sd of the targets after each datum."""
        gaps = jnp.log1p(jnp.diff(data.times, prepend=data.times[0]))

        def step(memory, row):
            picture, gap = row
            memory = self.cell(jnp.append(self.encoder(picture), gap), memory)
            return memory, self.decoder(memory)

        return jax.lax.scan(step, jnp.zeros(RIVAL), (data.values, gaps))[1]


class Density(fl.AbstractObjective):
    """Minus the mean log density of the targets' entries."""

    def loss(self, module, series, key):
        """In nats."""
        data, targets = series
        mean, spread = jnp.split(module(data), 2, axis=1)
        sd = jax.nn.softplus(spread) + 1e-3
        return jnp.mean(0.5 * ((targets - mean) / sd) ** 2 + jnp.log(sd) + 0.5 * jnp.log(2 * jnp.pi))


@eqx.filter_jit
def scores(module, data, targets):
    """Mean squared error, and minus the log density of an entry."""
    told = jax.lax.map(module, data, batch_size=50)
    error = jnp.mean((told[..., :2] - targets) ** 2)
    losses = jax.lax.map(lambda pair: Density().loss(module, pair, None), (data, targets), batch_size=50)
    return error, jnp.mean(losses)


def weights(module):
    """How many numbers are trained."""
    return sum(leaf.size for leaf in jax.tree.leaves(eqx.filter(module, eqx.is_inexact_array)))


def learned(kind, training, validation, steps=STEPS, progress=None):
    """A module of a kind after so many steps."""
    optimiser = optax.chain(optax.clip_by_global_norm(1.0), optax.adam(optax.cosine_decay_schedule(RATE, max(steps, 1))))
    train = functools.partial(fl.train, Density(), kind(jax.random.key(0)), training, optimiser=optimiser, steps=steps)
    return train(batch=BATCH, key=jax.random.key(1), held_out=validation, progress=progress).module


def table(steps=STEPS, sizes=SIZES, progress=None):
    """The scores by name."""
    training, validation, testing = (series(part, sizes) for part in SIZES)
    mean = training[1].mean((0, 1))
    off = np.asarray(testing[1] - mean)
    var = np.asarray(training[1]).var((0, 1))
    trivial = float(np.mean(0.5 * off**2 / var + 0.5 * np.log(2 * np.pi * var)))
    out = {"the mean": {"error": float(np.mean(off**2)), "loss": trivial}}
    for name, kind in (("continuous recurrent unit", Unit), ("recurrent network", Recurrent)):
        begun = time.process_time()
        module = learned(kind, training, validation, steps, progress)
        seconds = time.process_time() - begun
        for label, each in ((f"{name}, untrained", kind(jax.random.key(0))), (name, module)):
            error, loss = scores(each, *testing)
            out[label] = {"error": float(error), "loss": float(loss)}
        out[name] |= {"weights": weights(module), "seconds": seconds}
    return out


def main(path="results/recurrent_unit.json"):
    """Prints the table and writes it."""
    out = table(progress=lambda text: print(text, flush=True))
    for name, row in out.items():
        print(f"{name:36s}", {key: round(value, 4) for key, value in row.items()})
    Path(path).write_text(json.dumps(out))


if __name__ == "__main__":
    main(*sys.argv[1:])
