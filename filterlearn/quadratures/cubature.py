"""The spherical-radial cubature rule."""

import jax.numpy as jnp
import numpy as np

from filterlearn.quadratures.base import AbstractQuadrature


class Cubature(AbstractQuadrature):
    """2 n equal weights at +- sqrt(n) along each axis: exact for polynomials of degree 3 (Arasaratnam & Haykin 2009,
    doi:10.1109/TAC.2009.2019800). Weights are positive, so covariances stay semidefinite."""

    def points(self, n, dtype):
        """+- sqrt(n) e_i."""
        axes = np.sqrt(n) * np.concatenate([np.eye(n), -np.eye(n)])
        weights = jnp.full(2 * n, 1.0 / (2 * n), dtype)
        return jnp.asarray(axes, dtype), weights, weights
