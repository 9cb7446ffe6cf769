"""A neuron whose time constant its input sets."""

from typing import Any

import jax
from jaxtyping import Array

from filterlearn.models.drifts.base import AbstractDrift
from filterlearn.models.networks import Network, joined


class LiquidDrift(AbstractDrift):
    """f = -(pull + g) x + g a entry by entry, g = rate sigmoid(N(x, u)): the liquid time-constant network of Hasani, Lechner,
    Amini, Rus & Grosu 2021 (arXiv:2006.04439, doi:10.1609/aaai.v35i9.16936), a `(n,)` its reversal potentials.

    Time constants are within 1 / (pull + rate) and 1 / pull, and without noise entry i stays between 0 and a_i, or comes
    there. `pull` and `rate` are positive, per unit of time.
    """

    network: Network
    reversal: Array
    pull: Any
    rate: Any

    def __init__(self, states: int, *, inputs: int = 0, width: int = 32, depth: int = 1, pull=0.1, rate=1.0, key):
        first, second = jax.random.split(key)
        self.network = Network(states + inputs, states, width=width, depth=depth, key=first)
        self.reversal = jax.random.normal(second, (states,))
        self.pull, self.rate = pull, rate

    def __call__(self, t, x, u):
        gate = self.rate * jax.nn.sigmoid(self.network(joined(x, u)))
        return gate * (self.reversal - x) - self.pull * x
