"""Covariances by their triangular factors."""

import jax.numpy as jnp

from filterlearn.beliefs.gaussian import SquareRootGaussian
from filterlearn.forms.base import AbstractForm, Corrected, Passage
from filterlearn.numerics.masking import masked_covariance
from filterlearn.numerics.small import lower_solve, product, semidefinite_factor, upper_solve
from filterlearn.numerics.square_root import conditioned, triangular


class SquareRootForm(AbstractForm):
    """Lower factors L of covariances L L', moved and corrected by triangularisation (the array algorithms of Kailath, Sayed &
    Hassibi 2000, chapter 12, ISBN 9780130224644): semidefinite whatever the rounding, and with twice the digits of
    `MomentForm`, at two to ten times its cost. Made for single precision.

    Equal to `MomentForm` up to rounding. Derivatives in what would give a covariance a direction that it has not are left
    out.
    """

    def of(self, covariance):
        """Its Cholesky factor."""
        return semidefinite_factor(covariance)

    def of_factor(self, factor):
        """Itself."""
        return factor

    def covariance(self, spread):
        """L L'."""
        return product(spread, spread.T)

    def factor(self, spread):
        """Itself."""
        return spread

    def moved(self, spread, matrix, noise):
        """The triangle of [A L, N]."""
        return triangular(jnp.concatenate([product(matrix, spread), noise], axis=1))

    def corrected(self, spread, matrix, noise, mask):
        """The triangle of [[N, H L], [0, L]] is [[S, 0], [K S, L+]]."""
        slope = product(matrix, spread)
        variance = jnp.sum(slope**2, axis=1) + jnp.diagonal(noise)
        seen = jnp.where(mask[:, None], slope, 0.0)
        root, gain, after = conditioned(seen, spread, semidefinite_factor(masked_covariance(noise, mask)))
        return Corrected(root, variance, upper_solve(root, gain.T).T, after)

    def joined(self, first, second):
        """Lemma 2 of Yaghoobi et al. (2022, arXiv:2207.00426)."""
        n, apart = first.mean.shape[0], second.information
        unit, zero = jnp.eye(n, dtype=apart.dtype), jnp.zeros((n, n), apart.dtype)
        whole = triangular(jnp.block([[first.spread.T @ apart, unit], [apart, zero]]))
        inner, cross, rest = whole[:n, :n], whole[n:, :n], whole[n:, n:]
        pulled = lower_solve(inner, first.spread.T)
        mean = first.mean + first.spread @ (first.spread.T @ second.vector)
        vector = second.vector - apart @ (apart.T @ first.mean)
        return Passage(
            second.matrix @ (first.matrix - pulled.T @ (cross.T @ first.matrix)),
            second.matrix @ (mean - pulled.T @ (cross.T @ mean)) + second.mean,
            triangular(jnp.concatenate([second.matrix @ pulled.T, second.spread], axis=1)),
            first.matrix.T @ (vector - cross @ (pulled @ vector)) + first.vector,
            triangular(jnp.concatenate([first.matrix.T @ rest, first.information], axis=1)),
        )

    def spread(self, belief):
        """Its factor."""
        return belief.factor

    def belief(self, mean, spread, time):
        """A `SquareRootGaussian`."""
        return SquareRootGaussian(mean, spread, time)
