"""The finite-size ensemble Kalman filter."""

import jax
import jax.numpy as jnp

from filterlearn.analyses.base import AbstractAnalysis, solve, transformed
from filterlearn.numerics.roots import inverse_root

_NEWTON = 25  # damped steps of the one-dimensional dual, solved to rounding well before


class FiniteSize(AbstractAnalysis):
    """EnKF-N: N members leave the prior's covariance uncertain; its inflation is inferred from each datum and none is tuned
    (Bocquet 2011, doi:10.5194/npg-18-735-2011; Bocquet, Raanes & Hannart 2015,
    doi:10.5194/npg-22-645-2015).

    The prior's anomalies are scaled by the l that minimises the dual cost
    e' (I + l^2 Z Z')^-1 e / (N - 1) + (1 + 1/N) / l^2 + N / (N - 1) log l^2; the symmetric transform follows.
    """

    def revise(self, members, seen, *, key):
        """Scales the prior by the inferred inflation, then transforms."""
        n = members.shape[0]
        square = _inflation(seen, n)
        root = inverse_root(jnp.eye(n, dtype=members.dtype) + square * seen.spread.T @ seen.spread)
        weights = square * root @ (root @ (seen.spread.T @ seen.error)) / jnp.sqrt(n - 1.0)
        return transformed(members, weights, jnp.sqrt(square) * root)


def _penalty(q, n: int):
    return (1.0 + 1.0 / n) * jnp.exp(-q) + n / (n - 1) * q


def _inflation(seen, n: int):
    """l^2: the minimum is found with everything frozen; one more Newton step carries its derivative (implicitly)."""

    def cost(q):
        misfit = seen.error @ solve(jnp.exp(0.5 * q) * seen.spread, seen.error[:, None])[:, 0]
        return misfit / (n - 1) + _penalty(q, n)

    q = jax.lax.stop_gradient(_minimum(seen, n))
    bend = jax.lax.stop_gradient(jax.grad(jax.grad(cost))(q))
    return jnp.exp(q - jax.grad(cost)(q) / bend)


def _minimum(seen, n: int):
    """log l^2 by damped Newton, in the eigenbasis of Z Z': e' (I + l^2 Z Z')^-1 e = sum of p^2 / (1 + l^2 s)."""
    left, values, _ = jnp.linalg.svd(jax.lax.stop_gradient(seen.spread), full_matrices=False)
    projected = left.T @ jax.lax.stop_gradient(seen.error)

    def cost(q):
        return jnp.sum(projected**2 / (1.0 + jnp.exp(q) * values**2)) / (n - 1) + _penalty(q, n)

    slope, bend = jax.grad(cost), jax.grad(jax.grad(cost))

    def one(q, _):
        curve = bend(q)
        step = jnp.clip(-slope(q) / jnp.where(curve > 1e-3, curve, 1.0), -1.0, 1.0)
        tries = q + step * 0.5 ** jnp.arange(6, dtype=q.dtype)
        return tries[jnp.argmin(jax.vmap(cost)(tries))], None

    return jax.lax.scan(one, jnp.zeros((), values.dtype), None, length=_NEWTON)[0]
