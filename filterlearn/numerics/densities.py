"""Log-densities and weights."""

import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from filterlearn.numerics.small import lower_solve

LOG_2PI = math.log(2.0 * math.pi)


def masked_normal(innovation: Float[Array, "m"], factor: Float[Array, "m m"], mask: Bool[Array, "m"]) -> Float[Array, ""]:
    """log N(innovation; 0, L L') over the observed entries; the masked ones of L are those of the identity."""
    white = lower_solve(factor, innovation[:, None])[:, 0]
    logdet = jnp.sum(jnp.log(jnp.abs(jnp.diagonal(factor))))
    return -0.5 * jnp.sum(white**2) - logdet - 0.5 * LOG_2PI * jnp.sum(mask)


def degenerate_normal(x: Float[Array, "n"], mean: Float[Array, "n"], factor: Float[Array, "n n"]) -> Float[Array, ""]:
    """log N(x; mean, L L') over the directions with noise; those without, zero pivots of L, must be met up to rounding, or it
    is -inf."""
    pivots = jnp.diagonal(factor)
    noisy = pivots > 0
    white = lower_solve(factor + jnp.diag(jnp.where(noisy, 0.0, 1.0)), (x - mean)[:, None])[:, 0]
    slack = 1e3 * jnp.finfo(x.dtype).eps * (1 + jnp.abs(x))
    met = jnp.all(noisy | (jnp.abs(white) < slack))
    return jnp.where(met, normal_peak(factor) - 0.5 * jnp.sum(jnp.where(noisy, white, 0.0) ** 2), -jnp.inf)


def normal_peak(factor: Float[Array, "n n"]) -> Float[Array, ""]:
    """The highest value of the same."""
    pivots = jnp.diagonal(factor)
    return -jnp.sum(jnp.where(pivots > 0, 0.5 * LOG_2PI + jnp.log(jnp.where(pivots > 0, pivots, 1.0)), 0.0))


def safe_log(x):
    """The logarithm of what is not negative: -inf, with derivative 0, at 0."""
    return jnp.where(x > 0, jnp.log(jnp.where(x > 0, x, 1.0)), -jnp.inf)


def log_mean_exp(x: Float[Array, "n"]) -> Float[Array, ""]:
    """log of the mean of exp(x); -inf, not NaN, when every entry is -inf."""
    top = jnp.max(x)
    top = jnp.where(jnp.isfinite(top), top, 0.0)
    total = jnp.sum(jnp.exp(x - top))
    return jnp.where(total > 0, jnp.log(jnp.where(total > 0, total, 1.0)), -jnp.inf) + top - math.log(x.shape[0])


def log_product(a: Float[Array, "n k"], b: Float[Array, "k m"]) -> Float[Array, "n m"]:
    """log(exp(A) exp(B)); -inf, not NaN, where every term is."""
    terms = a[:, None, :] + b.T[None]
    return jax.vmap(jax.vmap(log_mean_exp))(terms) + math.log(a.shape[1])


def normalise(log_weights: Float[Array, "n"]) -> tuple[Float[Array, "n"], Float[Array, ""]]:
    """(normalised log-weights, log of the sum); uniform weights and -inf when every weight is zero or one is NaN."""
    total = log_mean_exp(log_weights) + math.log(log_weights.shape[0])
    lost = ~jnp.isfinite(total)
    uniform = jnp.full_like(log_weights, -math.log(log_weights.shape[0]))
    safe = jnp.where(lost, 0.0, total)
    return jnp.where(lost, uniform, jnp.where(lost, 0.0, log_weights) - safe), jnp.where(lost, -jnp.inf, total)


def effective_size(log_weights: Float[Array, "n"]) -> Float[Array, ""]:
    """1 / sum of the squared normalised weights."""
    return 1.0 / jnp.sum(jnp.exp(2.0 * log_weights))
