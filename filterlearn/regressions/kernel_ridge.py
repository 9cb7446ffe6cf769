"""Kernel ridge regression."""

from typing import Any

import jax.numpy as jnp

from filterlearn.numerics.small import cholesky, lower_solve, upper_solve
from filterlearn.regressions.base import AbstractRegression


def _matern(squared):
    """(1 + r + r^2 / 3) exp(-r) of r^2 = 5 d^2 / scale^2, smooth at 0."""
    r = jnp.sqrt(jnp.where(squared > 0, squared, 1.0))
    return jnp.where(squared > 0, (1.0 + r + squared / 3.0) * jnp.exp(-r), 1.0)


class KernelRidge(AbstractRegression):
    """The affine function of least squares, and kernel ridge regression of what it leaves, with the Matern kernel of
    smoothness 5/2 at the scale of the median distance and the ridge `ridge` (Campbell, Shi, Rainforth & Doucet 2021,
    arXiv:2110.13549, without the affine part). Consistent as points grow in number and the ridge falls."""

    ridge: Any = 0.01

    def __check_init__(self):
        if isinstance(self.ridge, float | int) and not self.ridge > 0:
            raise ValueError(f"ridge: a positive number is needed, got {self.ridge}")

    def least(self, n):
        """Those of the affine function."""
        return n + 1

    def fitted(self, points, values):
        """The points, the weight of each, the scale, and the affine function."""
        count = points.shape[0]
        apart = jnp.sum((points[:, None] - points[None]) ** 2, axis=-1)
        scale = jnp.median(apart) / 5.0
        design = jnp.concatenate([jnp.ones((count, 1), points.dtype), points], axis=1)
        affine = _solved(design.T @ design, design.T @ values)
        left = values - design @ affine
        own = self.ridge * jnp.eye(count, dtype=points.dtype)
        return points, _solved(_matern(apart / scale) + own, left), scale, affine

    def at(self, kept, point):
        """Their sum."""
        points, weights, scale, affine = kept
        near = _matern(jnp.sum((points - point) ** 2, axis=1) / scale)
        return near @ weights + affine[0] + point @ affine[1:]


def _solved(a, b):
    """A^-1 B for a positive definite A."""
    root = cholesky(a)
    return upper_solve(root, lower_solve(root, b))
