"""A parameter that wanders."""

from typing import Any

from filterlearn.models.parameter_dynamics.base import AbstractDynamics, noise
from filterlearn.numerics.small import safe_sqrt


class RandomWalk(AbstractDynamics):
    """d theta = scale dW on the unconstrained scale, time in data units.

    `scale` is one number, one for each entry, or a factor L `(p, p)` of the covariance L L' per unit of time.
    """

    scale: Any

    def moments(self, theta, gap, prior):
        """theta, scale sqrt(gap)."""
        return theta, noise(self.scale, theta.shape[0], safe_sqrt(gap))
