"""A parameter that does not move."""

import jax.numpy as jnp

from filterlearn.models.parameter_dynamics.base import AbstractDynamics


class Static(AbstractDynamics):
    """d theta = 0."""

    def moments(self, theta, gap, prior):
        """theta, 0."""
        return theta, jnp.zeros_like(theta)
