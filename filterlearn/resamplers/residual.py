"""Residual resampling."""

import jax
import jax.numpy as jnp

from filterlearn.resamplers.base import AbstractIndexResampler, inverse_cdf


class Residual(AbstractIndexResampler):
    """N w_i rounded down copies of point i for certain, the rest of the N drawn by what the rounding left (Liu & Chen 1998,
    doi:10.1080/01621459.1998.10473765)."""

    def ancestors(self, log_weights, *, key):
        """The certain copies first, then the drawn ones."""
        n = log_weights.shape[0]
        wanted = n * jnp.exp(log_weights)
        certain = jnp.floor(wanted)
        slots = jnp.arange(n, dtype=log_weights.dtype)
        total = jnp.cumsum(certain)
        copied = jnp.minimum(jnp.searchsorted(total, slots, side="right"), n - 1)
        drawn = inverse_cdf(jnp.log(wanted - certain), jax.random.uniform(key, (n,), log_weights.dtype))
        return jnp.where(slots < total[-1], copied, drawn)
