"""What the Gaussian filters share."""

import jax
import jax.numpy as jnp

from filterlearn.numerics.densities import masked_normal
from filterlearn.numerics.masking import masked_covariance
from filterlearn.numerics.small import cholesky, lower_solve, product, symmetric, upper_solve
from filterlearn.protocol import COVARIANCE_LOST, NOT_FINITE, Info


def gaussian_info(error, s, mask, mean, ess=None, extra=0):
    """Info of a Gaussian prediction N(mean, S) of the observed entries; returns it with the factor of the masked S."""
    factor = cholesky(masked_covariance(s, mask))
    variance = jnp.diagonal(s)
    evidence = jnp.where(mask.any(), masked_normal(error, factor, mask), 0.0)
    lost = ~jnp.all(jnp.isfinite(factor))
    pit = jnp.where(mask, jax.scipy.special.ndtr(error / jnp.sqrt(jnp.where(variance > 0, variance, 1.0))), jnp.nan)
    flags = COVARIANCE_LOST * lost + NOT_FINITE * ~jnp.isfinite(evidence) + extra
    size = jnp.full((), jnp.nan, mean.dtype) if ess is None else ess
    return Info(evidence, (mean, variance), pit, size, flags.astype(jnp.int32)), factor


def correct(mean, covariance, h, error, s_factor, mask, r):
    """The Joseph-form update with masked rows of H: (mean, covariance)."""
    h = jnp.where(mask[:, None], h, 0.0)
    gain = upper_solve(s_factor, lower_solve(s_factor, product(h, covariance))).T
    left = jnp.eye(mean.shape[0], dtype=mean.dtype) - product(gain, h)
    both = mask[:, None] & mask[None, :]
    noise = product(product(gain, jnp.where(both, r, 0.0)), gain.T)
    new = symmetric(product(product(left, covariance), left.T) + noise)
    return mean + gain @ jnp.where(mask, error, 0.0), new
