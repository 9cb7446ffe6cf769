"""A backward kernel with a network in its mean."""

import math

import equinox as eqx
import jax.numpy as jnp

from filterlearn.clock import whole
from filterlearn.guides.base import AbstractGuide
from filterlearn.numerics.sampling import normals


class NetworkGuide(AbstractGuide):
    """As `FullRank`, with a network of one hidden layer of `width` units, 0 at first, added to the kernel's mean (Campbell,
    Shi, Rainforth & Doucet 2021, arXiv:2110.13549)."""

    width: int = eqx.field(static=True, default=32)

    def __check_init__(self):
        whole("width", self.width, 1)

    def restricted(self, matrix):
        """Itself."""
        return matrix

    def start(self, n, dtype, *, key):
        """Weights and biases of the hidden layer, drawn, and the weights of the output, 0."""
        drawn = normals(key, (self.width, n + 1), dtype)
        return drawn[:, :n] / math.sqrt(n), drawn[:, n], jnp.zeros((n, self.width), dtype)

    def bend(self, parameters, z):
        """W tanh(V z + v)."""
        inner, bias, outer = parameters
        return outer @ jnp.tanh(inner @ z + bias)
