"""What Gaussian observations share: densities and draws from their moments, missing entries left out."""

import jax
import jax.numpy as jnp

from filterlearn.models.base import AbstractGaussianObservation
from filterlearn.numerics.densities import masked_normal
from filterlearn.numerics.masking import filled, masked_covariance, observed
from filterlearn.numerics.small import cholesky, semidefinite_factor


class AbstractMaskedGaussian(AbstractGaussianObservation):
    """The derived methods of y ~ N(mean, covariance)."""

    def log_prob(self, y, x, t, u=None):
        """log N(y; mean, covariance) over the observed entries."""
        mean, r = self.moments(x, t, u)
        mask = observed(y)
        error = jnp.where(mask, self.innovation(filled(y, mean), mean), 0.0)
        return masked_normal(error, cholesky(masked_covariance(r, mask)), mask)

    def sample(self, x, t, u=None, *, key):
        """mean + factor z."""
        mean, r = self.moments(x, t, u)
        return mean + semidefinite_factor(r) @ jax.random.normal(key, mean.shape, mean.dtype)

    def predicted(self, x, t, u=None):
        """Mean and variance."""
        mean, r = self.moments(x, t, u)
        return mean, jnp.diagonal(r)

    def cdf(self, y, x, t, u=None):
        """Marginal normal probabilities."""
        mean, r = self.moments(x, t, u)
        return jax.scipy.special.ndtr(self.innovation(y, mean) / jnp.sqrt(jnp.diagonal(r)))
