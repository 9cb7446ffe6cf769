"""Stratified resampling."""

import jax
import jax.numpy as jnp

from filterlearn.resamplers.base import AbstractIndexResampler, inverse_cdf


class Stratified(AbstractIndexResampler):
    """One uniform in each of N equal strata: less variance than multinomial for every function (Kitagawa 1996,
    doi:10.1080/10618600.1996.10474692; Douc & Cappe 2005, doi:10.1109/ISPA.2005.195385)."""

    def ancestors(self, log_weights, *, key):
        """Inversion of (i + U_i) / N."""
        n = log_weights.shape[0]
        grid = jnp.arange(n, dtype=log_weights.dtype)
        return inverse_cdf(log_weights, (grid + jax.random.uniform(key, (n,), log_weights.dtype)) / n)
