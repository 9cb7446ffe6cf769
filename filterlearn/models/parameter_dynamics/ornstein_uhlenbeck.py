"""A parameter that wanders and comes back."""

from typing import Any

import jax.numpy as jnp
import numpy as np

from filterlearn.models.parameter_dynamics.base import AbstractDynamics, noise
from filterlearn.numerics.small import safe_sqrt


class OrnsteinUhlenbeck(AbstractDynamics):
    """Mean reversion to the prior's median with a timescale; `scale` is the stationary standard deviation (Uhlenbeck &
    Ornstein 1930, doi:10.1103/PhysRev.36.823).

    `scale` is one number, one for each entry, or a factor `(p, p)` of the stationary covariance; a factor needs one
    timescale for all entries (ValueError).
    """

    timescale: Any
    scale: Any

    def __check_init__(self):
        if np.ndim(self.scale) == 2 and np.ndim(self.timescale):
            raise ValueError(f"timescale: one number is needed with a matrix scale, got shape {np.shape(self.timescale)}")

    def moments(self, theta, gap, prior):
        """The exact transition."""
        sd = noise(self.scale, theta.shape[0], safe_sqrt(-jnp.expm1(-2 * gap / self.timescale)))
        return prior.centre + (theta - prior.centre) * jnp.exp(-gap / self.timescale), sd
