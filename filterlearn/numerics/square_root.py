"""Covariances by their factors: triangularised, moved and conditioned without being formed."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from filterlearn.numerics.small import UNROLLED, lower_solve, product


def _eliminate(j, carry):
    """Row j's direction taken out of the rows after it, and their shares of it as column j."""
    rest, factor, floor = carry
    size = jnp.sum(rest[j] ** 2)
    kept = size > floor[j]
    direction = jnp.where(kept, rest[j] / jnp.sqrt(jnp.where(kept, size, 1.0)), 0.0)
    column = jnp.where(jnp.arange(rest.shape[0]) >= j, jnp.sum(rest * direction, axis=1), 0.0)
    return rest - column[:, None] * direction, factor.at[:, j].set(column), floor


@jax.custom_jvp
def triangular(columns: Float[Array, "n k"]) -> Float[Array, "n n"]:
    """Lower L with L L' = C C' and no negative pivot, for any `columns` C `(n, k)`, by modified Gram-Schmidt on the rows
    (Bjorck 1967, doi:10.1007/BF01934122): backward stable row by row, whatever the scales of the rows.

    A row that the rows before it span up to rounding gets a zero pivot and a zero column. Derivatives are finite everywhere;
    they leave out what would give such a row a pivot.
    """
    n = columns.shape[0]
    floor = (jnp.finfo(columns.dtype).eps * n) ** 2 * jnp.sum(columns**2, axis=1)
    carry = (columns, jnp.zeros((n, n), columns.dtype), floor)
    if n > UNROLLED:
        return jax.lax.fori_loop(0, n, _eliminate, carry)[1]
    for j in range(n):
        carry = _eliminate(j, carry)
    return carry[1]


@triangular.defjvp
def _derivative(primals, tangents):
    """dL = dC Q + L W with Q the orthonormal directions and W the rotation that keeps dL lower triangular."""
    (columns,), (change,) = primals, tangents
    lower = triangular(columns)
    kept = jnp.diagonal(lower) > 0
    whole = lower + jnp.diag(jnp.where(kept, 0.0, 1.0))
    directions = jnp.where(kept[:, None], lower_solve(whole, columns), 0.0)
    moved = change @ directions.T
    above = jnp.triu(jnp.where(kept[:, None], lower_solve(whole, moved), 0.0), 1)
    return lower, jnp.tril(moved + product(lower, above.T - above))


def conditioned(slope: Float[Array, "m n"], factor: Float[Array, "n n"], noise: Float[Array, "m m"]):
    """x = F z, y = B z + N e with z and e standard normal: (factor of y's covariance, gain from whitened y to x, factor of
    x's covariance given y), by one triangularisation (Kailath, Sayed & Hassibi 2000, section 12.4, ISBN 9780130224644)."""
    m = slope.shape[0]
    whole = triangular(jnp.block([[noise, slope], [jnp.zeros((factor.shape[0], m), factor.dtype), factor]]))
    return whole[:m, :m], whole[m:, :m], whole[m:, m:]
