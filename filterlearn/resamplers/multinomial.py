"""Multinomial resampling."""

import jax
import jax.numpy as jnp

from filterlearn.resamplers.base import AbstractIndexResampler, inverse_cdf


class Multinomial(AbstractIndexResampler):
    """Independent draws by weight (Gordon, Salmond & Smith 1993, doi:10.1049/ip-f-2.1993.0015)."""

    def ancestors(self, log_weights, *, key):
        """Inversion of independent uniforms."""
        return inverse_cdf(log_weights, jnp.sort(jax.random.uniform(key, log_weights.shape, log_weights.dtype)))
