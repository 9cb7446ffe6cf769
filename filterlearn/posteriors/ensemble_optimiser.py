"""Least squares without derivatives."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree

from filterlearn.clock import whole
from filterlearn.numerics.small import cholesky, lower_solve, upper_solve


class EnsembleOptimiser(eqx.Module):
    """Minimises |r(theta)|^2 / 2 from runs of r alone, by an ensemble that is drawn anew about its mean at each iteration
    (Haber, Lucka & Ruthotto 2018, arXiv:1805.08034):

        theta_j = theta + scale xi_j,  xi_j ~ N(0, I),  j = 1..size,    X = theta_j - theta,  Y = r(theta_j) - r(theta),
        theta <- theta - step X' (Y Y' + size damping I)^-1 Y r(theta).

    A Kalman step with the noise `damping`, and, as `scale` falls to zero, a damped Gauss-Newton step in `size` random
    directions: exact in one step for a linear r with size >= p and no damping. An ensemble that is kept never leaves the span
    of its first members; this one does, and converges for a strongly convex objective. size + 1 runs of r an iteration.
    `scale`, in the units of theta, is small against the curvature of r.
    """

    size: int = eqx.field(static=True)
    scale: Any = 0.01
    damping: Any = 1e-6
    step: Any = 1.0

    def __check_init__(self):
        whole("size", self.size, 1)

    def minimise(self, residual, theta, iterations: int, *, key):
        """(the last theta, the loss before each iteration `(iterations,)`) of `residual(theta) -> (m,)`; theta is any pytree
        of floating arrays.

        Raises TypeError for a residual that is not a vector.
        """
        start, whole_tree = ravel_pytree(theta)
        shape = jax.eval_shape(residual, theta).shape
        if len(shape) != 1:
            raise TypeError(f"residual: a vector is needed, got shape {shape}")

        def improved(flat, k):
            moves = self.scale * jax.random.normal(k, (self.size, flat.size), flat.dtype)
            here = residual(whole_tree(flat))
            changes = jax.vmap(lambda move: residual(whole_tree(flat + move)))(moves) - here
            root = cholesky(changes @ changes.T + self.size * self.damping * jnp.eye(self.size, dtype=flat.dtype))
            weights = upper_solve(root, lower_solve(root, (changes @ here)[:, None]))[:, 0]
            return flat - self.step * (weights @ moves), 0.5 * jnp.sum(here**2)

        last, losses = jax.lax.scan(improved, start, jax.random.split(key, iterations))
        return whole_tree(last), losses
