"""A drift that neither forgets nor explodes."""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array

from filterlearn.models.drifts.base import AbstractDrift, driven


class AntisymmetricDrift(AbstractDrift):
    """f = scale tanh((W - W' - damping I) x + B u + b), each row of W divided by sqrt(n) (Chang, Chen, Haber & Chi 2019,
    arXiv:1902.09689).

    The Jacobian is D A with D > 0 diagonal and A + A' = -2 damping I: at every state its eigenvalues have real parts below 0,
    close to 0 for a small damping. The rates are within `scale`, per unit of time.
    """

    weight: Array
    bias: Array
    drive: Array | None
    scale: Any
    damping: Any

    def __init__(self, states: int, *, inputs: int = 0, scale=1.0, damping=0.1, key):
        first, second, third = jax.random.split(key, 3)
        self.weight, self.bias = jax.random.normal(first, (states, states)), jax.random.normal(second, (states,))
        self.drive = jax.random.normal(third, (states, inputs)) if inputs else None
        self.scale, self.damping = scale, damping

    def __call__(self, t, x, u):
        turned = (self.weight - self.weight.T) @ x / x.shape[0] ** 0.5
        return self.scale * jnp.tanh(turned - self.damping * x + driven(self.drive, u) + self.bias)
