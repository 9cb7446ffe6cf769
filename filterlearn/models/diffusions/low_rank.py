"""Noise of each state, and a little that they share."""

from typing import Any

import jax.numpy as jnp

from filterlearn.clock import whole
from filterlearn.models.diffusions.base import AbstractDiffusion, positive
from filterlearn.models.networks import Network, joined


class LowRankDiffusion(AbstractDiffusion):
    """g = [diag(d), B] `(n, n + rank)`, d as in `DiagonalDiffusion`, B = scale N(x, u) / sqrt(rank) `(n, rank)`: g g' =
    diag(d^2) + B B', a factor model (Rubin & Thayer 1982, doi:10.1007/BF02293851) that moves with the state; at least
    floor^2 in every direction."""

    network: Network
    scale: Any
    floor: Any

    def __init__(
        self, states: int, rank: int, *, inputs: int = 0, width: int = 32, depth: int = 1, scale=1.0, floor=1e-3, key
    ):
        self.network = Network(states + inputs, states * (1 + whole("rank", rank, 1)), width=width, depth=depth, key=key)
        self.scale, self.floor = scale, floor

    def __call__(self, t, x, u):
        n, values = x.shape[0], self.network(joined(x, u))
        shared = values[n:].reshape(n, -1)
        own = jnp.diag(positive(values[:n], self.scale, self.floor))
        return jnp.concatenate([own, self.scale * shared / shared.shape[1] ** 0.5], axis=1)
