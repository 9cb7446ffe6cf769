"""A learned drift, or a learned step? A network trained through coarse and fine steps of a solver.

Ott, Katiyar, Hennig & Tiemann 2020 (arXiv:2007.15386): trained with coarse steps, a network fits the map of its solver, and
is no equation: finer steps spoil it. Here 200 series of a van der Pol oscillator, 20 rows .5 apart with noise of sd .1 in the
state and .05 in the values; a
network of 32 units learned by the evidence of an extended Kalman filter, 600 steps of Adam. `train` compares minus the log
evidence of ten held-out series, at the step of training and at a quarter of it. Target: a change below 5 % or a warning.

    python examples/step_consistency.py [results.jsonl]
"""

import json
import sys
import time
import warnings

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax

import filterlearn as fl

TIMES = 0.5 * np.arange(1.0, 21.0)
SCHEMES = {
    "Euler, 1 step": fl.EulerMaruyama,
    "Euler, 4 steps": fl.EulerMaruyama,
    "Euler, 16 steps": fl.EulerMaruyama,
    "Runge-Kutta, 1 step": fl.RungeKutta,
    "Runge-Kutta, 4 steps": fl.RungeKutta,
}


class Model(eqx.Module):
    """The model of a drift by so many steps of a scheme."""

    scheme: type = eqx.field(static=True)
    steps: int = eqx.field(static=True)

    def __call__(self, drift):
        moved = self.scheme(fl.SDE(drift, jnp.full(2, 0.1)), steps=self.steps)
        seen = fl.LinearGaussianObservation(jnp.eye(2), 0.05**2 * jnp.eye(2))
        return fl.StateSpaceModel(fl.Gaussian([0.0, 0.0], 2.0, time=0.0), moved, seen)


def oscillator(t, x, u):
    """Van der Pol's."""
    return jnp.stack([x[1], (1 - x[0] ** 2) * x[1] - x[0]])


def series(seed, count):
    """Stacked series from starts within 2 of rest."""
    starts = np.random.default_rng(seed).uniform(-2, 2, (count, 2))
    rows = []
    for start, key in zip(starts, jax.random.split(jax.random.key(seed), count), strict=True):
        model = Model(fl.RungeKutta, 20)(oscillator)
        truth = fl.StateSpaceModel(fl.Gaussian(start, 0.0, time=0.0), model.transition, model.observation)
        rows.append(fl.Dataset(TIMES, fl.simulate(truth, TIMES, key=key)[1]))
    return fl.stacked(rows)


def row(name, seed, steps=600):
    """Losses per datum of the true drift and before training, what `train` tells of the steps, and whether it warned."""
    objective = fl.Evidence(Model(SCHEMES[name], int(name.split()[-2])), fl.ExtendedKalman())
    drift = fl.NetworkDrift(2, width=32, depth=2, pull=0.0, key=jax.random.key(seed))
    adam, begun = optax.adam(optax.cosine_decay_schedule(1e-2, max(steps, 1))), time.process_time()
    given = {"optimiser": adam, "steps": steps, "batch": 10, "key": jax.random.key(seed), "held_out": series(100 + seed, 10)}
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        out = fl.train(objective, drift, series(seed, 200), **given)
    exact = fl.Evidence(Model(fl.RungeKutta, 20), fl.ExtendedKalman())
    truth = np.mean(jax.vmap(lambda each: exact.loss(oscillator, each, None))(given["held_out"]))
    found = {"untrained": out.held_out[0], "truth": truth}
    if out.step_size is not None:
        found |= {"coarse": out.step_size.coarse, "fine": out.step_size.fine, "change": abs(out.step_size.change)}
    found = {key: float(value) / (1 if key == "change" else len(TIMES)) for key, value in found.items()}
    warned = any("fits its step" in str(each.message) for each in told)
    return {"scheme": name, "seed": seed, **found, "warned": warned, "seconds": time.process_time() - begun}


def main(path="results/step_consistency.jsonl"):
    """Prints the table and writes a line for each scheme."""
    with open(path, "w") as file:
        for name in SCHEMES:
            for seed in (0, 1):
                found = row(name, seed)
                file.write(json.dumps(found) + "\n")
                text = (
                    "{scheme:20s} {seed} untrained {untrained:.3g} truth {truth:.3f} trained {coarse:.3f} quarter {fine:.3f}"
                )
                print((text + " change {change:.2%} warned {warned} {seconds:.0f} s").format(**found), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
