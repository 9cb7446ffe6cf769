"""Covariances as they are."""

import jax.numpy as jnp

from filterlearn.beliefs.gaussian import Gaussian
from filterlearn.forms.base import AbstractForm, Corrected, Passage
from filterlearn.numerics.masking import masked_covariance
from filterlearn.numerics.small import cholesky, divided_by, product, semidefinite_factor, symmetric


class MomentForm(AbstractForm):
    """Covariances, corrected in the form of Bucy & Joseph (1968, ISBN 9780821837825): fast, and made for double precision.

    A belief loses the directions whose variance is below the rounding of the largest one.
    """

    def of(self, covariance):
        """Itself."""
        return covariance

    def of_factor(self, factor):
        """F F'."""
        return product(factor, factor.T)

    def covariance(self, spread):
        """Itself."""
        return spread

    def factor(self, spread):
        """Its Cholesky factor."""
        return semidefinite_factor(spread)

    def moved(self, spread, matrix, noise):
        """A P A' + noise."""
        return symmetric(product(product(matrix, spread), matrix.T) + noise)

    def corrected(self, spread, matrix, noise, mask):
        """(I - K H) P (I - K H)' + K R K' = C - (C H' - K R) K' with C = P - K H P: no product costs n^3."""
        across = product(spread, matrix.T)
        s = symmetric(product(matrix, across) + noise)
        root = cholesky(masked_covariance(s, mask))
        seen, across = jnp.where(mask[:, None], matrix, 0.0), jnp.where(mask, across, 0.0)
        gain = divided_by(across, root)
        both = mask[:, None] & mask[None, :]
        cut = spread - product(gain, across.T)
        rest = product(cut, seen.T) - product(gain, jnp.where(both, noise, 0.0))
        after = symmetric(cut - product(rest, gain.T))
        return Corrected(root, jnp.diagonal(s), gain, after)

    def joined(self, first, second):
        """Lemma 8 of Sarkka & Garcia-Fernandez (2021, doi:10.1109/TAC.2020.2976316)."""
        n = first.mean.shape[0]
        mean = first.mean + first.spread @ second.vector
        crowd = jnp.eye(n, dtype=mean.dtype) + first.spread @ second.information
        solved = jnp.linalg.solve(crowd, jnp.concatenate([first.matrix, first.spread, mean[:, None]], axis=1))
        across, inner, centre = solved[:, :n], solved[:, n : 2 * n], solved[:, 2 * n]
        return Passage(
            second.matrix @ across,
            second.matrix @ centre + second.mean,
            symmetric(second.matrix @ inner @ second.matrix.T + second.spread),
            across.T @ (second.vector - second.information @ first.mean) + first.vector,
            symmetric(across.T @ second.information @ first.matrix + first.information),
        )

    def spread(self, belief):
        """Its covariance."""
        return belief.covariance

    def belief(self, mean, spread, time):
        """A `Gaussian`."""
        return Gaussian.of(mean, spread, time)
