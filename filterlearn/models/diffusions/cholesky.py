"""Noise of all states together."""

from typing import Any

import jax.numpy as jnp
import numpy as np

from filterlearn.models.diffusions.base import AbstractDiffusion, positive
from filterlearn.models.networks import Network, joined


class CholeskyDiffusion(AbstractDiffusion):
    """g `(n, n)` lower triangular, its diagonal as in `DiagonalDiffusion`, below it scale N_ij(x, u) / sqrt(n): every
    positive definite g g' has one such g (Pinheiro & Bates 1996, doi:10.1007/BF00140873). det g is at least floor^n."""

    network: Network
    scale: Any
    floor: Any

    def __init__(self, states: int, *, inputs: int = 0, width: int = 32, depth: int = 1, scale=1.0, floor=1e-3, key):
        self.network = Network(states + inputs, states * (states + 1) // 2, width=width, depth=depth, key=key)
        self.scale, self.floor = scale, floor

    def __call__(self, t, x, u):
        n, values = x.shape[0], self.network(joined(x, u))
        below = jnp.zeros((n, n), values.dtype).at[np.tril_indices(n, -1)].set(values[n:])
        return jnp.diag(positive(values[:n], self.scale, self.floor)) + self.scale * below / n**0.5
