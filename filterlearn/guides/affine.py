"""Gaussian laws with affine backward kernels."""

import jax.numpy as jnp

from filterlearn.guides.base import AbstractGuide


class FullRank(AbstractGuide):
    """Full covariances and slopes (Campbell, Shi, Rainforth & Doucet 2021, arXiv:2110.13549): the exact laws of a
    linear-Gaussian model are among these."""

    def restricted(self, matrix):
        """Itself."""
        return matrix


class MeanField(AbstractGuide):
    """Independent coordinates, each with its own slope (Campbell, Shi, Rainforth & Doucet 2021, arXiv:2110.13549): variances
    that are too small where coordinates are correlated."""

    def restricted(self, matrix):
        """Its diagonal."""
        return jnp.diag(jnp.diagonal(matrix))
