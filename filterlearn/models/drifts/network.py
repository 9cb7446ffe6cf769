"""A network as the drift."""

from typing import Any

from filterlearn.models.drifts.base import AbstractDrift
from filterlearn.models.networks import Network, joined


class NetworkDrift(AbstractDrift):
    """f = scale N(x, u) - pull x, N a `Network` (Chen, Rubanova, Bettencourt & Duvenaud 2018, arXiv:1806.07366).

    `scale` and `pull` are per unit of time, and pytree leaves that are learned if they are given as arrays. With tanh units N
    is bounded, so that paths under a positive `pull` are too: whatever the weights, the drift points inwards far out. At pull
    0 nothing is guaranteed. `inputs` is the length of u, 0 where there are none.
    """

    network: Network
    scale: Any
    pull: Any

    def __init__(self, states: int, *, inputs: int = 0, width: int = 32, depth: int = 1, scale=1.0, pull=1.0, key):
        self.network = Network(states + inputs, states, width=width, depth=depth, key=key)
        self.scale, self.pull = scale, pull

    def __call__(self, t, x, u):
        return self.scale * self.network(joined(x, u)) - self.pull * x
