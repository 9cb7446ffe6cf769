"""Quadratic functions of a state, q(x) = z' M z with z = (x, 1), stacked on the axes before those of M."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from filterlearn.numerics.densities import LOG_2PI
from filterlearn.numerics.small import lower_solve, symmetric


def padded(covariance: Float[Array, "n n"]) -> Float[Array, "k k"]:
    """The covariance of (x, 1)."""
    return jnp.pad(covariance, (0, 1))


def second_moment(mean: Float[Array, "n"], covariance: Float[Array, "n n"]) -> Float[Array, "k k"]:
    """E z z'."""
    z = jnp.append(mean, 1.0)
    return jnp.outer(z, z) + padded(covariance)


def averaged(forms: Float[Array, "*q k k"], moment: Float[Array, "k k"]) -> Float[Array, "*q"]:
    """E q(x), from E z z'."""
    return jnp.sum(forms * moment, axis=(-2, -1))


def constant(values: Float[Array, "*q"], size: int) -> Float[Array, "*q k k"]:
    """The functions that are `values` everywhere."""
    return values[..., None, None] * jnp.zeros((size, size), values.dtype).at[-1, -1].set(1.0)


def pulled(forms: Float[Array, "*q j j"], matrix: Float[Array, "j k"], covariance: Float[Array, "j j"]):
    """E[w' M w | z] for w = W z + N(0, covariance), as functions of z."""
    return matrix.T @ forms @ matrix + constant(averaged(forms, covariance), matrix.shape[1])


def products(matrix: Float[Array, "j k"], covariance: Float[Array, "j j"]) -> Float[Array, "j j k k"]:
    """E[w w' | z] for the same w, entry by entry."""
    outer = matrix[:, None, :, None] * matrix[None, :, None, :]
    return 0.5 * (outer + outer.swapaxes(-2, -1)) + constant(covariance, matrix.shape[1])


def normal_form(rows: Float[Array, "n j"], factor: Float[Array, "n n"]) -> Float[Array, "j j"]:
    """log N(rows w; 0, L L') as a quadratic function of w, whose last entry is 1; directions without noise are left out."""
    pivots = jnp.diagonal(factor)
    noisy = pivots > 0
    white = jnp.where(noisy[:, None], lower_solve(factor + jnp.diag(jnp.where(noisy, 0.0, 1.0)), rows), 0.0)
    level = jnp.sum(jnp.where(noisy, 0.5 * LOG_2PI + jnp.log(jnp.where(noisy, pivots, 1.0)), 0.0))
    return symmetric(-0.5 * white.T @ white) - constant(level, rows.shape[1])
