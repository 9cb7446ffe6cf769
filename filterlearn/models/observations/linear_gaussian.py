"""Linear Gaussian observations."""

from typing import Any

import jax.numpy as jnp

from filterlearn.models.base import arrays, value_at
from filterlearn.models.observations.base import AbstractMaskedGaussian
from filterlearn.numerics.small import applied


class LinearGaussianObservation(AbstractMaskedGaussian):
    """y = H x + d + N(0, R): `matrix` H `(m, n)`, `covariance` R `(m, m)`, `offset` d `(m,)`, each an array or a function of
    (t, u)."""

    matrix: Any
    covariance: Any
    offset: Any

    def __init__(self, matrix, covariance, offset=None):
        self.matrix, self.covariance, self.offset = map(arrays, (matrix, covariance, offset))
        for name, given in (("matrix", self.matrix), ("covariance", self.covariance)):
            if not callable(given) and given.ndim != 2:
                raise ValueError(f"{name}: two dimensions are needed, got shape {given.shape}")

    def linear(self, t, u=None):
        """(H, d, R) at a time."""
        h, d, r = (value_at(part, t, u) for part in (self.matrix, self.offset, self.covariance))
        return h, jnp.zeros(h.shape[0], h.dtype) if d is None else d, r

    def moments(self, x, t, u=None):
        """H x + d and R."""
        h, d, r = self.linear(t, u)
        return applied(h, x) + d, r
