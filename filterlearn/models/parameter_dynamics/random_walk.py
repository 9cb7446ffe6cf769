"""A parameter that wanders."""

from typing import Any

import jax.numpy as jnp

from filterlearn.models.parameter_dynamics.base import AbstractDynamics
from filterlearn.numerics.small import safe_sqrt


class RandomWalk(AbstractDynamics):
    """d theta = scale dW on the unconstrained scale, time in data units."""

    scale: Any

    def moments(self, theta, gap, centre):
        """theta, scale sqrt(gap)."""
        return theta, jnp.broadcast_to(self.scale * safe_sqrt(gap), theta.shape)
