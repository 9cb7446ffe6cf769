"""A drift of positions and velocities."""

from typing import Any

import jax.numpy as jnp

from filterlearn.models.drifts.base import AbstractDrift
from filterlearn.models.networks import Network, joined


class SecondOrderDrift(AbstractDrift):
    """q' = v, v' = scale N(q, v, u) - stiffness q - damping v, of the state (q, v) of 2 n entries (Yildiz, Heinonen &
    Lahdesmaki 2019, arXiv:1905.10994).

    Positions are smooth: noise belongs to the velocities. With positive stiffness and damping paths are bounded, whatever the
    weights. `scale` and `stiffness` are per unit of time squared, `damping` per unit of time.
    """

    network: Network
    scale: Any
    stiffness: Any
    damping: Any

    def __init__(
        self, positions: int, *, inputs: int = 0, width: int = 32, depth: int = 1, scale=1.0, stiffness=1.0, damping=0.5, key
    ):
        self.network = Network(2 * positions + inputs, positions, width=width, depth=depth, key=key)
        self.scale, self.stiffness, self.damping = scale, stiffness, damping

    def __call__(self, t, x, u):
        q, v = jnp.split(x, 2)
        force = self.scale * self.network(joined(x, u)) - self.stiffness * q - self.damping * v
        return jnp.concatenate([v, force])
