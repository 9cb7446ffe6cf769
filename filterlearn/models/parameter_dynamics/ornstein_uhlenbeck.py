"""A parameter that wanders and comes back."""

from typing import Any

import jax.numpy as jnp

from filterlearn.models.parameter_dynamics.base import AbstractDynamics
from filterlearn.numerics.small import safe_sqrt


class OrnsteinUhlenbeck(AbstractDynamics):
    """Mean reversion to the prior's median with a timescale; `scale` is the stationary standard deviation (Uhlenbeck &
    Ornstein 1930, doi:10.1103/PhysRev.36.823)."""

    timescale: Any
    scale: Any

    def moments(self, theta, gap, centre):
        """The exact transition."""
        sd = self.scale * safe_sqrt(-jnp.expm1(-2 * gap / self.timescale))
        return centre + (theta - centre) * jnp.exp(-gap / self.timescale), jnp.broadcast_to(sd, theta.shape)
