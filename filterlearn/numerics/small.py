"""Small-matrix algebra unrolled by the static size, because a LAPACK call inside a scan costs more than the arithmetic."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

UNROLLED = 4


def symmetric(a: Float[Array, "n n"]) -> Float[Array, "n n"]:
    """(A + A') / 2."""
    return 0.5 * (a + a.T)


def product(a: Float[Array, "n k"], b: Float[Array, "k m"]) -> Float[Array, "n m"]:
    """A B, by a fused sum when every side is small."""
    if max(*a.shape, b.shape[1]) <= UNROLLED:
        return jnp.sum(a[:, :, None] * b[None], axis=1)
    return a @ b


def applied(a: Float[Array, "n k"], x: Float[Array, "k"]) -> Float[Array, "n"]:
    """A x, by a fused sum when A is small: a product for each of many points costs more than its arithmetic."""
    return jnp.sum(a * x, axis=1) if max(a.shape) <= UNROLLED else a @ x


def _unrolled_cholesky(a):
    n = a.shape[0]
    rows = [[jnp.zeros((), a.dtype)] * n for _ in range(n)]
    for i in range(n):
        for j in range(i + 1):
            rest = a[i, j] - sum((rows[i][k] * rows[j][k] for k in range(j)), start=jnp.zeros((), a.dtype))
            rows[i][j] = jnp.sqrt(rest) if i == j else rest / rows[j][j]
    return jnp.stack([jnp.stack(row) for row in rows])


def cholesky(a: Float[Array, "n n"]) -> Float[Array, "n n"]:
    """Lower L with L L' = A for a positive definite A; not finite when A is not."""
    return _unrolled_cholesky(a) if a.shape[0] <= UNROLLED else jnp.linalg.cholesky(a)


def lower_solve(lower: Float[Array, "n n"], b: Float[Array, "n m"]) -> Float[Array, "n m"]:
    """L^-1 B by forward substitution."""
    n = lower.shape[0]
    if n > UNROLLED:
        return jax.scipy.linalg.solve_triangular(lower, b, lower=True)
    rows: list = []
    for i in range(n):
        rest = b[i] - sum((lower[i, k] * rows[k] for k in range(i)), start=jnp.zeros_like(b[i]))
        rows.append(rest / lower[i, i])
    return jnp.stack(rows)


def upper_solve(lower: Float[Array, "n n"], b: Float[Array, "n m"]) -> Float[Array, "n m"]:
    """L^-T B by back substitution, from the lower factor."""
    n = lower.shape[0]
    if n > UNROLLED:
        return jax.scipy.linalg.solve_triangular(lower, b, lower=True, trans=1)
    rows: list = [None] * n
    for i in reversed(range(n)):
        rest = b[i] - sum((lower[k, i] * rows[k] for k in range(i + 1, n)), start=jnp.zeros_like(b[i]))
        rows[i] = rest / lower[i, i]
    return jnp.stack(rows)


def divided_by(b: Float[Array, "m n"], lower: Float[Array, "n n"]) -> Float[Array, "m n"]:
    """B (L L')^-1 from the lower factor; by the inverse of a large L, since to solve for many columns costs more than
    products."""
    if lower.shape[0] <= UNROLLED:
        return upper_solve(lower, lower_solve(lower, b.T)).T
    inverse = lower_solve(lower, jnp.eye(lower.shape[0], dtype=lower.dtype))
    return b @ inverse.T @ inverse


def semidefinite_factor(a: Float[Array, "n n"]) -> Float[Array, "n n"]:
    """Lower L with L L' = A for a positive *semi*definite A: a zero pivot gives a zero column, with finite gradients."""
    n = a.shape[0]
    floor = jnp.finfo(a.dtype).eps * n * jnp.max(jnp.abs(jnp.diagonal(a)), initial=0.0)
    index = jnp.arange(n)

    def column(j, carry):
        rest, factor = carry
        pivot = rest[j, j]
        kept = pivot > floor
        scaled = jnp.where(index >= j, rest[:, j], 0.0) / jnp.sqrt(jnp.where(kept, pivot, 1.0))
        scaled = jnp.where(kept, scaled, 0.0)
        return rest - jnp.outer(scaled, scaled), factor.at[:, j].set(scaled)

    carry = (a, jnp.zeros_like(a))
    if n > UNROLLED:
        return jax.lax.fori_loop(0, n, column, carry)[1]
    for j in range(n):
        carry = column(j, carry)
    return carry[1]


def semidefinite_solve(p: Float[Array, "n n"], b: Float[Array, "n m"]) -> Float[Array, "n m"]:
    """P^-1 B for a positive semidefinite P, or a solution of P X = B where P is singular and B lies in its range."""
    factor = semidefinite_factor(p)
    pivots = jnp.diagonal(factor) > 0
    whole = factor + jnp.diag(jnp.where(pivots, 0.0, 1.0))
    half = jnp.where(pivots[:, None], lower_solve(whole, b), 0.0)
    return jnp.where(pivots[:, None], upper_solve(whole, half), 0.0)


def safe_sqrt(x):
    """The square root with gradient 0, not infinity, at 0."""
    positive = x > 0
    return jnp.where(positive, jnp.sqrt(jnp.where(positive, x, 1.0)), 0.0)


def spread(factor: Float[Array, "n *k"], noise: Float[Array, "k"]) -> Float[Array, "n"]:
    """Noise scaled by standard deviations `(n,)`, or by a factor `(n, k)`."""
    return factor * noise if factor.ndim == 1 else applied(factor, noise)


def as_matrix(factor: Float[Array, "n *k"]) -> Float[Array, "n k"]:
    """Standard deviations `(n,)` as a diagonal factor; a factor as it is."""
    return jnp.diag(factor) if factor.ndim == 1 else factor
