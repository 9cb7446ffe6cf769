"""A drift that forgets where it began."""

from typing import Any

import jax
from jaxtyping import Array

from filterlearn.models.convex import ConvexNetwork
from filterlearn.models.drifts.base import AbstractDrift, driven


class ContractingDrift(AbstractDrift):
    """f = (S - S') x - rate x - scale grad C(x) + B u, C a `ConvexNetwork`, entries of S divided by sqrt(n): (a - b) . (f(a)
    - f(b)) <= -rate |a - b|^2 (Lohmiller & Slotine 1998, doi:10.1016/S0005-1098(98)00019-3).

    Whatever the weights and inputs, two paths under the same inputs approach as exp(-rate t), and under the same additive
    noise too. `rate` and `scale` are per unit of time and not negative.
    """

    network: ConvexNetwork
    turn: Array
    drive: Array | None
    rate: Any
    scale: Any

    def __init__(self, states: int, *, inputs: int = 0, width: int = 32, depth: int = 1, rate=0.1, scale=1.0, key):
        first, second, third = jax.random.split(key, 3)
        self.network = ConvexNetwork(states, width=width, depth=depth, key=first)
        self.turn = jax.random.normal(second, (states, states))
        self.drive = jax.random.normal(third, (states, inputs)) if inputs else None
        self.rate, self.scale = rate, scale

    def __call__(self, t, x, u):
        turned = (self.turn - self.turn.T) @ x / x.shape[0] ** 0.5
        pulled = self.rate * x + self.scale * jax.grad(self.network)(x)
        return turned - pulled + driven(self.drive, u)
