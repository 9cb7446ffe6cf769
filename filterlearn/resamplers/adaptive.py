"""Resampling only when it is needed."""

from typing import Any

import jax

from filterlearn.numerics.densities import effective_size
from filterlearn.resamplers.base import AbstractResampler


class Adaptive(AbstractResampler):
    """Resamples when the effective sample size falls below `threshold` times N (Liu & Chen 1998,
    doi:10.1080/01621459.1998.10473765)."""

    resampler: AbstractResampler
    threshold: Any = 0.5

    def resample(self, log_weights, tree, *, key):
        """The resampler's answer, or the points as they are."""
        low = effective_size(log_weights) < self.threshold * log_weights.shape[0]
        return jax.lax.cond(low, lambda: self.resampler.resample(log_weights, tree, key=key), lambda: (tree, log_weights))
