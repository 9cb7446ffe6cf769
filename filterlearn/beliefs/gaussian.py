"""Gaussian beliefs, by covariance or by a factor of it, and one with exactly diffuse directions."""

import abc
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Float

from filterlearn.beliefs.base import AbstractBelief, start_time
from filterlearn.numerics.sampling import normals
from filterlearn.numerics.small import product, semidefinite_factor, symmetric
from filterlearn.numerics.square_root import triangular


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


class AbstractGaussianBelief(AbstractBelief):
    """N(mean, covariance), with a lower `factor` of the covariance."""

    factor: eqx.AbstractVar[Any]

    def sample(self, n: int, *, key) -> Float[Array, "k n"]:
        """`n` independent draws."""
        noise = normals(key, (n, self.mean.shape[0]), self.mean.dtype)
        return self.mean + noise @ self.factor.T

    def quantile(self, q) -> Float[Array, "*q n"]:
        """mean + sd * Phi^-1(q)."""
        z = jax.scipy.special.ndtri(jnp.asarray(q, self.mean.dtype))[..., None]
        return self.mean + z * jnp.sqrt(jnp.diagonal(self.covariance))

    @abc.abstractmethod
    def with_moments(self, mean: Float[Array, "k"], covariance: Float[Array, "k k"]) -> "AbstractGaussianBelief":
        """A belief of this kind at the same time."""

    @abc.abstractmethod
    def with_factor(self, mean: Float[Array, "k"], factor: Float[Array, "k f"]) -> "AbstractGaussianBelief":
        """A belief of this kind at the same time, with the covariance F F'."""

    @abc.abstractmethod
    def beside(self, value) -> "AbstractGaussianBelief":
        """The belief about x and one more coordinate, which is known."""

    @abc.abstractmethod
    def marginal(self, part: slice) -> "AbstractGaussianBelief":
        """The belief about some coordinates."""


class Gaussian(AbstractGaussianBelief):
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

    @classmethod
    def of(cls, mean, covariance, time) -> "Gaussian":
        """The same from arrays that a filter made: nothing is checked."""
        blank = cls(jnp.zeros_like(mean), jnp.zeros_like(covariance))
        return eqx.tree_at(lambda b: (b.mean, b.covariance, b.time), blank, (mean, covariance, time))

    @property
    def factor(self) -> Float[Array, "n n"]:
        """The Cholesky factor, with zero columns where the covariance is singular."""
        return semidefinite_factor(self.covariance)

    def with_moments(self, mean, covariance):
        """The moments given."""
        return eqx.tree_at(lambda b: (b.mean, b.covariance), self, (mean, covariance))

    def with_factor(self, mean, factor):
        """The covariance F F'."""
        return self.with_moments(mean, symmetric(product(factor, factor.T)))

    def beside(self, value):
        """A row and a column of zeros."""
        return self.with_moments(jnp.append(self.mean, value), jnp.pad(self.covariance, (0, 1)))

    def marginal(self, part):
        """A block of the covariance."""
        return self.with_moments(self.mean[part], self.covariance[part, part])

    def mapped(self, matrix: Float[Array, "k n"], offset: Float[Array, "k"], factor: Float[Array, "k f"], *, key):
        """N(A mean + b, A covariance A' + L L')."""
        return self.with_moments(
            matrix @ self.mean + offset, symmetric(matrix @ self.covariance @ matrix.T + factor @ factor.T)
        )


class SquareRootGaussian(AbstractGaussianBelief):
    """N(mean, L L') by its lower `factor` L `(n, n)`, which holds twice the digits of the covariance; zero columns are
    legal."""

    mean: Float[Array, "n"]
    factor: Float[Array, "n n"]
    time: Any

    @property
    def covariance(self) -> Float[Array, "n n"]:
        """L L'."""
        return product(self.factor, self.factor.T)

    def with_moments(self, mean, covariance):
        """The covariance factorised."""
        return self.with_factor(mean, semidefinite_factor(covariance))

    def with_factor(self, mean, factor):
        """The factor made triangular."""
        return SquareRootGaussian(mean, triangular(factor), self.time)

    def beside(self, value):
        """A row and a column of zeros."""
        return SquareRootGaussian(jnp.append(self.mean, value), jnp.pad(self.factor, (0, 1)), self.time)

    def marginal(self, part):
        """Some rows of the factor."""
        return self.with_factor(self.mean[part], self.factor[part])

    def mapped(self, matrix: Float[Array, "k n"], offset: Float[Array, "k"], factor: Float[Array, "k f"], *, key):
        """N(A mean + b, A L L' A' + F F')."""
        return self.with_factor(matrix @ self.mean + offset, jnp.concatenate([matrix @ self.factor, factor], axis=1))


class DiffuseGaussian(AbstractBelief):
    """N(mean, covariance + k * diffuse) as k grows without bound: directions about which nothing is known yet.

    `.covariance` is the finite part; `.diffuse` `(n, n)` falls to zero as data arrive (Durbin & Koopman 2012, ch. 5,
    doi:10.1093/acprof:oso/9780199641178.001.0001).
    """

    mean: Float[Array, "n"]
    covariance: Float[Array, "n n"]
    diffuse: Float[Array, "n n"]
    time: Any

    def with_moments(self, mean, covariance):
        """The finite moments given."""
        return DiffuseGaussian(mean, covariance, self.diffuse, self.time)

    def sample(self, n: int, *, key) -> Float[Array, "k n"]:
        """Draws, NaN in a coordinate that is still diffuse: no proper law exists there."""
        draws = Gaussian(self.mean, self.covariance, self.time).sample(n, key=key)
        return jnp.where(jnp.diagonal(self.diffuse) > 0, jnp.nan, draws)

    def quantile(self, q) -> Float[Array, "*q n"]:
        """Quantiles, infinite in a coordinate that is still diffuse."""
        z = jax.scipy.special.ndtri(jnp.asarray(q, self.mean.dtype))[..., None]
        sd = jnp.where(jnp.diagonal(self.diffuse) > 0, jnp.inf, jnp.sqrt(jnp.diagonal(self.covariance)))
        return self.mean + jnp.where(z == 0, 0.0, z * jnp.where(z == 0, 1.0, sd))
