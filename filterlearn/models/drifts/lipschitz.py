"""A drift that is nowhere steep."""

from typing import Any

import jax
import jax.numpy as jnp

from filterlearn.models.drifts.base import AbstractDrift
from filterlearn.models.networks import Network, joined


class LipschitzDrift(AbstractDrift):
    """f = bound N(x, u), |N(a) - N(b)| <= |a - b| whatever the weights: each W becomes W D, with the diagonal matrix D of 1 /
    sqrt(sum_j |W'W|_ij), whose norm is at most 1, and the units are tanh (Prach & Lampert 2022, arXiv:2208.03160).

    `bound` is per unit of time. Two paths part at most as exp(bound t), and an explicit step below 1 / bound does not blow up
    at once.
    """

    network: Network
    bound: Any

    def __init__(self, states: int, *, inputs: int = 0, width: int = 32, depth: int = 1, bound=1.0, key):
        self.network = Network(states + inputs, states, width=width, depth=depth, key=key)
        self.bound = bound

    def __call__(self, t, x, u):
        z = joined(x, u)
        for k, (weight, bias) in enumerate(zip(self.network.weights, self.network.biases, strict=True)):
            z = _shrunk(weight) @ (z if k == 0 else jnp.tanh(z)) + bias
        return self.bound * z


def _shrunk(weight):
    """The weights times D; a column of zeros stays."""
    sums = jnp.sum(jnp.abs(weight.T @ weight), axis=1)
    return weight * jnp.where(sums > 0, jax.lax.rsqrt(jnp.where(sums > 0, sums, 1.0)), 0.0)
