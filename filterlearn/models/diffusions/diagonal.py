"""Noise of each state by itself."""

from typing import Any

from filterlearn.models.diffusions.base import AbstractDiffusion, positive
from filterlearn.models.networks import Network, joined


class DiagonalDiffusion(AbstractDiffusion):
    """g = floor + (scale - floor) softplus(N(x, u)) / log 2 `(n,)`, a diagonal (Kidger, Foster, Li, Oberhauser & Lyons
    2021, arXiv:2102.03657): entries are above `floor`, and about `scale` at first."""

    network: Network
    scale: Any
    floor: Any

    def __init__(self, states: int, *, inputs: int = 0, width: int = 32, depth: int = 1, scale=1.0, floor=1e-3, key):
        self.network = Network(states + inputs, states, width=width, depth=depth, key=key)
        self.scale, self.floor = scale, floor

    def __call__(self, t, x, u):
        return positive(self.network(joined(x, u)), self.scale, self.floor)
