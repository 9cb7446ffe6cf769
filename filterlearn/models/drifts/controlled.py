"""A drift that a control drives."""

from typing import Any

import jax.numpy as jnp

from filterlearn.clock import whole
from filterlearn.models.drifts.base import AbstractDrift
from filterlearn.models.networks import Network


class ControlledDrift(AbstractDrift):
    """f = scale tanh(N(x)) u with the values of N as `(n, p)`: where u is the slope of a path X of the inputs, as `Held`
    slopes of a `Linear` path are, dx = F(x) dX, a neural controlled differential equation (Kidger, Morrill, Foster & Lyons
    2020, arXiv:2005.08926).

    How fast the inputs come does not matter, only where they go; where they stand still, so does x. |f| <= scale sqrt(n)
    |u|_1. Raises TypeError without inputs.
    """

    network: Network
    scale: Any

    def __init__(self, states: int, *, inputs: int, width: int = 32, depth: int = 1, scale=1.0, key):
        self.network = Network(states, states * whole("inputs", inputs, 1), width=width, depth=depth, key=key)
        self.scale = scale

    def __call__(self, t, x, u):
        if u is None:
            raise TypeError("inputs: ControlledDrift needs them, the slopes of its control; got None")
        return self.scale * jnp.tanh(self.network(x)).reshape(x.shape[0], -1) @ jnp.ravel(u).astype(x.dtype)
