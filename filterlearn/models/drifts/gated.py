"""A gated recurrent unit in continuous time."""

from typing import Any

import jax
import jax.numpy as jnp

from filterlearn.models.drifts.base import AbstractDrift
from filterlearn.models.networks import Network, joined


class GatedDrift(AbstractDrift):
    """f = rate (1 - z) (g - x) entry by entry, r and z = sigmoid of affine functions of (x, u), g = tanh of one of (r x, u):
    the GRU-ODE of De Brouwer, Simm, Arany & Moreau 2019 (arXiv:1905.12374).

    Without noise a state in [-1, 1] stays there, and one outside comes back. `rate` is per unit of time.
    """

    gates: Network
    candidate: Network
    rate: Any

    def __init__(self, states: int, *, inputs: int = 0, rate=1.0, key):
        first, second = jax.random.split(key)
        self.gates = Network(states + inputs, 2 * states, depth=0, key=first)
        self.candidate = Network(states + inputs, states, depth=0, key=second)
        self.rate = rate

    def __call__(self, t, x, u):
        reset, kept = jnp.split(jax.nn.sigmoid(self.gates(joined(x, u))), 2)
        target = jnp.tanh(self.candidate(joined(reset * x, u)))
        return self.rate * (1.0 - kept) * (target - x)
