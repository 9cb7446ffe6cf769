"""Systematic resampling."""

import jax
import jax.numpy as jnp

from filterlearn.resamplers.base import AbstractIndexResampler, inverse_cdf


class Systematic(AbstractIndexResampler):
    """One uniform shared by N equally spaced points: copies of point i are N w_i rounded down or up (Kitagawa 1996,
    doi:10.1080/10618600.1996.10474692)."""

    def ancestors(self, log_weights, *, key):
        """Inversion of (i + U) / N."""
        n = log_weights.shape[0]
        grid = jnp.arange(n, dtype=log_weights.dtype)
        return inverse_cdf(log_weights, (grid + jax.random.uniform(key, (), log_weights.dtype)) / n)
