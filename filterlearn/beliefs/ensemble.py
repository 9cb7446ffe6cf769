"""An equally weighted ensemble."""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from filterlearn.beliefs.base import AbstractBelief


class Ensemble(AbstractBelief):
    """N equally weighted members `(N, n)`; the covariance divides by N - 1. `inflation` is what an `AdaptiveInflation` has
    learned, None without one."""

    members: Float[Array, "N n"]
    time: Any
    inflation: Any = None

    @property
    def mean(self) -> Float[Array, "n"]:
        """Mean of the members."""
        return jnp.mean(self.members, axis=0)

    @property
    def covariance(self) -> Float[Array, "n n"]:
        """Sample covariance, N - 1 in the denominator."""
        anomalies = self.members - self.mean
        return anomalies.T @ anomalies / (self.members.shape[0] - 1)

    def sample(self, n: int, *, key) -> Float[Array, "k n"]:
        """Members drawn with replacement."""
        return self.members[jax.random.randint(key, (n,), 0, self.members.shape[0])]

    def quantile(self, q) -> Float[Array, "*q n"]:
        """Sample quantiles."""
        return jnp.quantile(self.members, jnp.asarray(q), axis=0)

    def mapped(self, matrix: Float[Array, "k n"], offset: Float[Array, "k"], factor: Float[Array, "k f"], *, key):
        """Each member mapped, with noise of its own."""
        noise = jax.random.normal(key, (self.members.shape[0], factor.shape[1]), factor.dtype)
        return Ensemble(self.members @ matrix.T + offset + noise @ factor.T, self.time, self.inflation)
