"""Resampling from a smoothed law."""

from typing import Any

import jax
import jax.numpy as jnp

from filterlearn.numerics.small import semidefinite_factor
from filterlearn.resamplers.base import AbstractResampler


class Regularised(AbstractResampler):
    """The resampler inside, then noise h L z of the points' own weighted covariance L L', h = `bandwidth` N^(-1 / (n + 4)):
    the weighted law smoothed by a Gaussian kernel, so that points are not copies (Musso, Oudjane & Le Gland 2001,
    doi:10.1007/978-1-4757-3437-9_12).

    Consistent, h falling with N; the covariance is too wide by 1 + h^2. Where the points must obey a constraint, use another.
    """

    resampler: AbstractResampler
    bandwidth: Any = 1.0

    def resample(self, log_weights, tree, *, key):
        """The chosen points, with noise."""
        first, second = jax.random.split(key)
        points, weights = tree, jnp.exp(log_weights)
        size, n = points.shape
        deviations = points - weights @ points
        factor = semidefinite_factor((weights[:, None] * deviations).T @ deviations)
        new, after = self.resampler.resample(log_weights, points, key=first)
        noise = jax.random.normal(second, points.shape, points.dtype) @ factor.T
        return new + self.bandwidth * size ** (-1.0 / (n + 4)) * noise, after
