"""Whether a learned mechanics keeps its energy: Runge-Kutta, Euler and symplectic steps over 100 periods.

A pendulum of length 1 under gravity 9.81, without friction. A `HamiltonianDrift` is learned by least squares from the
rates at 500 states drawn evenly with angles within 2 and momenta within 4, by 5,000 steps of Adam down a cosine from .01.
Then it moves from an angle of 1.2 at rest, over 100 periods of that swing (2.2 each), in steps of a hundredth of one.
Score: the largest |H - H_0| / H_0 of the *true* energy on the way; H is 0 at rest below. Target: below 1 % by
`Symplectic`, for the learned drift and the true one (Greydanus, Dzamba & Yosinski 2019, arXiv:1906.01563). Beside them a
plain network learned from the same data, untrained drifts, and explicit Euler steps of the true drift.

    python examples/mechanics.py [seed]
"""

import sys

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax

import filterlearn as fl

GRAVITY, PERIOD, PERIODS, PARTS = 9.81, 2.2, 100, 100
STEPS = 5000


class Pendulum(fl.AbstractSeparable):
    """The true one."""

    damping: float = 0.0

    def velocity(self, p):
        return p

    def force(self, t, q, u):
        return -GRAVITY * jnp.sin(q)


def energy(x):
    """Of the true one."""
    return 0.5 * x[..., 1] ** 2 + GRAVITY * (1 - jnp.cos(x[..., 0]))


class Rates(eqx.Module):
    """Squared distance from the true rates at one state."""

    def loss(self, module, series, key):
        x, rates = series
        return jnp.sum((module(0.0, x, None) - rates) ** 2)


def learned(drift, seed, steps=STEPS):
    """The drift after training."""
    xs = jnp.asarray(np.random.default_rng(seed).uniform([-2, -4], [2, 4], (500, 2)))
    data = xs, jax.vmap(lambda x: Pendulum()(0.0, x, None))(xs)
    optimiser = optax.adam(optax.cosine_decay_schedule(0.01, max(steps, 1)))
    return fl.train(Rates(), drift, data, optimiser=optimiser, steps=steps, batch=100, key=jax.random.key(seed)).module


@eqx.filter_jit
def leak(scheme):
    """The largest relative change of the true energy."""
    start = jnp.array([1.2, 0.0])
    zero = jnp.zeros(scheme.noise_shape(start))

    def one(x, _):
        x = scheme.push(x, 0.0, PERIOD / PARTS, None, zero)
        return x, energy(x)

    levels = jax.lax.scan(one, start, length=PERIODS * PARTS)[1]
    return jnp.nan_to_num(jnp.abs(levels / energy(start) - 1), nan=jnp.inf).max()


def rows(seed=0, steps=STEPS):
    """{name: the largest relative change of energy}."""
    structured = fl.HamiltonianDrift(1, depth=2, stiffness=jnp.ones(()), key=jax.random.key(seed))
    plain = fl.NetworkDrift(2, depth=2, scale=5.0, pull=0.0, key=jax.random.key(seed))
    schemes = {
        "the true drift, Symplectic": (Pendulum(), fl.Symplectic),
        "the true drift, EulerMaruyama": (Pendulum(), fl.EulerMaruyama),
        "HamiltonianDrift, Symplectic": (learned(structured, seed, steps), fl.Symplectic),
        "NetworkDrift, RungeKutta": (learned(plain, seed, steps), fl.RungeKutta),
        "HamiltonianDrift untrained, Symplectic": (structured, fl.Symplectic),
        "NetworkDrift untrained, RungeKutta": (plain, fl.RungeKutta),
    }
    return {name: float(leak(kind(fl.SDE(drift, np.zeros(2)), steps=1))) for name, (drift, kind) in schemes.items()}


if __name__ == "__main__":
    jax.config.update("jax_enable_x64", True)
    for name, value in rows(*map(int, sys.argv[1:])).items():
        print(f"{name:40s} {value:.3g}", flush=True)
