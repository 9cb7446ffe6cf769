"""Parameter particles shrunk to their mean, and noise that makes up for it."""

from typing import Any

import jax
import jax.numpy as jnp

from filterlearn.beliefs.particles import weighted_covariance
from filterlearn.moves.base import AbstractShift
from filterlearn.numerics.small import semidefinite_factor


class LiuWest(AbstractShift):
    """Shrinks to the mean and adds noise, so that mean and covariance stay: a = (3 d - 1) / (2 d) for a discount d (Liu &
    West 2001, doi:10.1007/978-1-4757-3437-9_10). `floor`, in prior sds, is the least noise in each direction: without it the
    spread of static parameters freezes."""

    discount: Any = 0.98
    floor: Any = 0.0

    def shifted(self, thetas, log_weights, index, prior_sd, *, key):
        """a theta + (1 - a) mean + sqrt(1 - a^2) L z."""
        a = (3 * self.discount - 1) / (2 * self.discount)
        weights = jnp.exp(log_weights)
        factor = jnp.sqrt(1 - a**2) * semidefinite_factor(weighted_covariance(thetas, weights))
        noise = jax.random.normal(key, (2, *thetas.shape), thetas.dtype)
        low = self.floor * prior_sd
        lacking = jnp.sqrt(jnp.maximum(low**2 - jnp.sum(factor**2, axis=1), 0.0))
        return a * thetas[index] + (1 - a) * (weights @ thetas) + noise[0] @ factor.T + lacking * noise[1]
