"""A Gaussian belief, and one with exactly diffuse directions."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Float

from filterlearn.beliefs.base import AbstractBelief, start_time
from filterlearn.numerics.sampling import normals
from filterlearn.numerics.small import semidefinite_factor, symmetric


def _square(mean, covariance):
    """The covariance as `(n, n)`; refuses one that is not symmetric positive semidefinite, where it can be seen."""
    n = mean.shape[0]
    matrix = jnp.asarray(covariance, mean.dtype)
    matrix = matrix * jnp.eye(n, dtype=mean.dtype) if matrix.ndim == 0 else matrix
    if matrix.shape != (n, n):
        raise ValueError(f"covariance: shape {(n, n)} is needed for a mean of length {n}, got {matrix.shape}")
    if not isinstance(matrix, Tracer):
        check_semidefinite("covariance", np.asarray(matrix))
    return matrix


def check_semidefinite(name: str, matrix: np.ndarray) -> None:
    """Raises ValueError naming the argument unless the matrix is finite, symmetric and positive semidefinite."""
    if not np.isfinite(matrix).all():
        raise ValueError(f"{name}: not finite")
    scale = max(np.abs(matrix).max(initial=0.0), np.finfo(matrix.dtype).tiny)
    slack = 1e3 * np.finfo(matrix.dtype).eps * scale
    if np.abs(matrix - matrix.T).max(initial=0.0) > slack:
        raise ValueError(f"{name}: not symmetric; give (A + A') / 2")
    if matrix.size and (low := float(np.linalg.eigvalsh(matrix).min())) < -slack * len(matrix):
        raise ValueError(f"{name}: not positive semidefinite, smallest eigenvalue {low:.3g}")


class Gaussian(AbstractBelief):
    """N(mean, covariance); zero and singular covariances are legal.

    A scalar covariance means that multiple of the identity. `time=None` starts at the first datum's time.
    Raises ValueError for a covariance that is not `(n, n)`, symmetric and positive semidefinite.

    >>> Gaussian([0.0, 1.0], 2.0).covariance.tolist()
    [[2.0, 0.0], [0.0, 2.0]]
    """

    mean: Float[Array, "n"]
    covariance: Float[Array, "n n"]
    time: Any

    def __init__(self, mean, covariance, time=None):
        mean = jnp.atleast_1d(jnp.asarray(mean))
        self.mean = mean if jnp.issubdtype(mean.dtype, jnp.floating) else mean.astype(float)
        self.covariance = _square(self.mean, covariance)
        self.time = start_time(time, self.mean.dtype)

    def sample(self, n: int, *, key) -> Float[Array, "k n"]:
        """`n` independent draws."""
        noise = normals(key, (n, self.mean.shape[0]), self.mean.dtype)
        return self.mean + noise @ semidefinite_factor(self.covariance).T

    def quantile(self, q) -> Float[Array, "*q n"]:
        """mean + sd * Phi^-1(q)."""
        z = jax.scipy.special.ndtri(jnp.asarray(q, self.mean.dtype))[..., None]
        return self.mean + z * jnp.sqrt(jnp.diagonal(self.covariance))

    def mapped(self, matrix: Float[Array, "k n"], offset: Float[Array, "k"], factor: Float[Array, "k f"], *, key):
        """N(A mean + b, A covariance A' + L L')."""
        moments = matrix @ self.mean + offset, symmetric(matrix @ self.covariance @ matrix.T + factor @ factor.T)
        return eqx.tree_at(lambda b: (b.mean, b.covariance), self, moments)


class DiffuseGaussian(AbstractBelief):
    """N(mean, covariance + k * diffuse) as k grows without bound: directions about which nothing is known yet.

    `.covariance` is the finite part; `.diffuse` `(n, n)` falls to zero as data arrive (Durbin & Koopman 2012, ch. 5,
    doi:10.1093/acprof:oso/9780199641178.001.0001).
    """

    mean: Float[Array, "n"]
    covariance: Float[Array, "n n"]
    diffuse: Float[Array, "n n"]
    time: Any

    def sample(self, n: int, *, key) -> Float[Array, "k n"]:
        """Draws, NaN in a coordinate that is still diffuse: no proper law exists there."""
        draws = Gaussian(self.mean, self.covariance, self.time).sample(n, key=key)
        return jnp.where(jnp.diagonal(self.diffuse) > 0, jnp.nan, draws)

    def quantile(self, q) -> Float[Array, "*q n"]:
        """Quantiles, infinite in a coordinate that is still diffuse."""
        z = jax.scipy.special.ndtri(jnp.asarray(q, self.mean.dtype))[..., None]
        sd = jnp.where(jnp.diagonal(self.diffuse) > 0, jnp.inf, jnp.sqrt(jnp.diagonal(self.covariance)))
        return self.mean + jnp.where(z == 0, 0.0, z * jnp.where(z == 0, 1.0, sd))
