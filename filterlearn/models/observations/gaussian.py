"""Nonlinear Gaussian observations."""

from typing import Any

from filterlearn.models.base import arrays, timed
from filterlearn.models.observations.base import AbstractMaskedGaussian


class GaussianObservation(AbstractMaskedGaussian):
    """y ~ N(mean(t, x, u), covariance): the covariance is an array or a function of (t, x, u). `residual(y, mean)` replaces
    y - mean where values wrap (angles)."""

    mean: Any
    covariance: Any
    residual: Any

    def __init__(self, mean, covariance, residual=None):
        if not callable(mean):
            raise TypeError(f"mean: a function (t, x, u) is needed, got {type(mean).__name__}")
        self.mean, self.covariance, self.residual = timed(mean), arrays(covariance), residual

    def moments(self, x, t, u=None):
        """Mean and covariance."""
        return self.mean(t, x, u), self.covariance(t, x, u) if callable(self.covariance) else self.covariance

    def innovation(self, y, mean):
        """residual(y, mean), or y - mean."""
        return y - mean if self.residual is None else self.residual(y, mean)
