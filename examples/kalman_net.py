"""A filter whose gain a network has learned from states, with a covariance.

    x_k+1 = F x_k + e,  y_k = x_k + w,   F = [[1, 1], [0, 1]],   var e = .01 I,  var w = I,   x_0 = 0 known, T = 100;

1,000 series for training, 100 to stop by, 200 for the scores. Scores: 10 log10 of the squared error of the mean, over
the data and both states (dB), within .3 of the Kalman filter's, and at least 2 better than that of one told a variance
of 1 for e, which is the noise that the network's filter is told too; and the normalised squared error (NEES), 2 where the
covariance is right: one made from the learned gain, and one of a head that was trained, with the gain, on the density of the
states (after Revach et al. 2022, arXiv:2107.10043).

    python examples/kalman_net.py [results.json]
"""

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

MATRIX, NOISE, WRONG, SEEN, LENGTH = np.array([[1.0, 1.0], [0.0, 1.0]]), 0.01, 1.0, 1.0, 100
SIZES = {"training": 1000, "validation": 100, "testing": 200}
STEPS, BATCH, RATE = 1000, 50, 5e-3
NEAR, BETTER = 0.3, 2.0  # dB


def model(noise):
    """The walk with a velocity, for a variance of its noise."""
    start = fl.Gaussian(jnp.zeros(2), jnp.zeros((2, 2)), time=0.0)
    move = fl.LinearDiscrete(jnp.asarray(MATRIX), noise * jnp.eye(2))
    return fl.StateSpaceModel(start, move, fl.LinearGaussianObservation(jnp.eye(2), SEEN * jnp.eye(2)))


def series(part, sizes=SIZES):
    """(Datasets, states) of a part of the data, drawn not by this library."""
    rng = np.random.default_rng(list(SIZES).index(part))
    n, x, states = sizes[part], np.zeros((sizes[part], 2)), []
    for _ in range(LENGTH):
        x = x @ MATRIX.T + NOISE**0.5 * rng.normal(size=(n, 2))
        states.append(x)
    states = np.stack(states, axis=1)
    values = states + SEEN**0.5 * rng.normal(size=states.shape)
    return fl.stacked([fl.Dataset(np.arange(1.0, LENGTH + 1), rows) for rows in values]), jnp.asarray(states)


@eqx.filter_jit
def beliefs(filter, noise, data):
    """Means and covariances of each series."""

    def one(each):
        return fl.run(filter, model(noise), each, save=lambda belief, info: (belief.mean, belief.covariance)).saved

    return jax.lax.map(one, data, batch_size=50)


def scores(filter, noise, data, states):
    """The error in dB and the NEES."""
    means, covariances = beliefs(filter, noise, data)
    off = np.asarray(means - states)
    nees = np.einsum("kti,kti->kt", off, np.linalg.solve(np.asarray(covariances), off[..., None])[..., 0])
    return {"dB": float(10 * np.log10(np.mean(off**2))), "NEES": float(nees.mean())}


def untrained(seed):
    """The filter before training; it is told the wrong noise."""
    return fl.KalmanNet(fl.ExtendedKalman(form=fl.MomentForm()), fl.GainNetwork(2, 2, key=jax.random.key(seed)))


def headed(seed, filter):
    """The filter with a covariance of its own."""
    return fl.KalmanNet(filter.filter, filter.network, eqx.nn.Linear(32, 4, key=jax.random.key(seed)))


def learned(objective, start, training, validation, steps=STEPS, progress=None):
    """The filter after so many steps."""
    optimiser = optax.chain(optax.clip_by_global_norm(1.0), optax.adam(optax.cosine_decay_schedule(RATE, max(steps, 1))))
    return fl.train(
        objective(model(WRONG)),
        start,
        training,
        optimiser=optimiser,
        steps=steps,
        batch=BATCH,
        key=jax.random.key(1),
        held_out=validation,
        progress=progress,
    ).module


def table(steps=STEPS, sizes=SIZES, progress=None):
    """The scores by name."""
    training, validation, (data, states) = (series(part, sizes) for part in SIZES)
    begun = time.process_time()
    ours = learned(fl.StateError, untrained(0), training, validation, steps, progress)
    seconds = time.process_time() - begun
    sure = learned(fl.StateDensity, headed(0, ours), training, validation, steps, progress)
    kalman = fl.Kalman(fl.MomentForm())
    return {
        "Kalman": scores(kalman, NOISE, data, states),
        "Kalman, wrong noise": scores(kalman, WRONG, data, states),
        "the data": {"dB": float(10 * np.log10(np.mean(np.asarray(data.values - states) ** 2)))},
        "untrained": scores(untrained(0), WRONG, data, states),
        "learned": scores(ours, WRONG, data, states) | {"seconds": seconds},
        "learned, with a head": scores(sure, WRONG, data, states),
    }


def main(path="results/kalman_net.json"):
    """Prints the table and writes it."""
    out = table(progress=lambda text: print(text, flush=True))
    for name, row in out.items():
        print(f"{name:20s}", {key: round(value, 3) for key, value in row.items()})
    most = min(out["Kalman"]["dB"] + NEAR, out["Kalman, wrong noise"]["dB"] - BETTER)
    print(f"{'target':20s}", {"dB": round(most, 3)})
    Path(path).write_text(json.dumps(out))


if __name__ == "__main__":
    jax.config.update("jax_enable_x64", True)
    main(*sys.argv[1:])
