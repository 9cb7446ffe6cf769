"""A random walk that learns its proposal."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

_FLOOR = 1e-3  # of the first guess of the sds: a chain that has not moved still has a proposal


class Walk(NamedTuple):
    """Steps exp(log_step) L z, L L' the covariance of a chain so far (Haario, Saksman & Tamminen 2001, doi:10.2307/3318737),
    their length led to a share that is accepted (Andrieu & Thoms 2008, doi:10.1007/s11222-008-9110-y), while it learns."""

    mean: Any
    covariance: Any
    log_step: Any

    @classmethod
    def begun(cls, theta, scale):
        """From a first guess of the standard deviations."""
        length = jnp.log(2.4 / jnp.sqrt(theta.shape[0]))
        return cls(theta, jnp.diag(scale**2), length.astype(theta.dtype))

    def proposed(self, theta, scale, key):
        """A step away from theta."""
        factor = jnp.exp(self.log_step) * jnp.linalg.cholesky(self.covariance + jnp.diag((_FLOOR * scale) ** 2))
        return theta + factor @ jax.random.normal(key, theta.shape, theta.dtype)

    def learned(self, theta, accept, wanted, i, warmup):
        """After the i-th step, to theta; unchanged from `warmup` on."""
        learn = i < warmup
        gain, fast = jnp.where(learn, (i + 20.0) ** -0.7, 0.0), jnp.where(learn, (i + 1.0) ** -0.6, 0.0)
        error = theta - self.mean
        covariance = self.covariance + gain * (jnp.outer(error, error) - self.covariance)
        new = Walk(self.mean + gain * error, covariance, self.log_step + fast * (accept - wanted))
        return jax.tree.map(lambda a, b: jnp.asarray(b, a.dtype), self, new)
