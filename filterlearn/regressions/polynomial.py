"""Least squares on monomials."""

import itertools
import math

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from filterlearn.clock import whole
from filterlearn.numerics.small import cholesky, lower_solve, upper_solve
from filterlearn.regressions.base import AbstractRegression


class Polynomial(AbstractRegression):
    """All monomials up to a degree, by least squares (for the values of a recursion Longstaff & Schwartz 2001,
    doi:10.1093/rfs/14.1.113): exact for such polynomials, whatever the points."""

    degree: int = eqx.field(static=True, default=2)

    def __check_init__(self):
        whole("degree", self.degree, 0)

    def least(self, n):
        """The number of monomials."""
        return math.comb(n + self.degree, self.degree)

    def _monomials(self, point):
        n = point.shape[0]
        kinds = [itertools.combinations_with_replacement(range(n), d) for d in range(1, self.degree + 1)]
        columns = [jnp.prod(point[np.array(list(each))], axis=1) for each in kinds]
        return jnp.concatenate([jnp.ones(1, point.dtype), *columns])

    def fitted(self, points, values):
        """The coefficients."""
        design = jax.vmap(self._monomials)(points)
        gram = design.T @ design
        root = cholesky(gram + jnp.finfo(gram.dtype).eps * jnp.trace(gram) * jnp.eye(gram.shape[0], dtype=gram.dtype))
        return upper_solve(root, lower_solve(root, design.T @ values))

    def at(self, kept, point):
        """Their sum."""
        return self._monomials(point) @ kept
