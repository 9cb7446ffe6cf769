"""A Gaussian belief about very many entries, by a diagonal and a few columns of its precision."""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from filterlearn.beliefs.base import AbstractBelief
from filterlearn.numerics.sampling import normals
from filterlearn.numerics.small import cholesky, lower_solve, upper_solve


class LowRankGaussian(AbstractBelief):
    """N(mean, (D + W W')^-1), D = diag(`diagonal`) `(p,)`, W = `columns` `(p, r)`; nothing here but `.covariance` makes a
    `(p, p)` matrix."""

    mean: Float[Array, "p"]
    diagonal: Float[Array, "p"]
    columns: Float[Array, "p r"]
    time: Any

    def _root(self):
        """Lower L with L L' = I + W' D^-1 W."""
        inner = self.columns.T @ (self.columns / self.diagonal[:, None])
        return cholesky(jnp.eye(inner.shape[0], dtype=inner.dtype) + inner)

    def _known(self):
        """Z with covariance D^-1 - Z Z', `(p, r)`."""
        return lower_solve(self._root(), self.columns.T).T / self.diagonal[:, None]

    @property
    def covariance(self) -> Float[Array, "p p"]:
        """The covariance matrix, made on demand."""
        known = self._known()
        return jnp.diag(1 / self.diagonal) - known @ known.T

    @property
    def variance(self) -> Float[Array, "p"]:
        """The covariance's diagonal."""
        return jnp.maximum(1 / self.diagonal - jnp.sum(self._known() ** 2, axis=1), 0.0)

    def solve(self, b: Float[Array, "p k"]) -> Float[Array, "p k"]:
        """covariance @ b."""
        root, scaled = self._root(), b / self.diagonal[:, None]
        inner = upper_solve(root, lower_solve(root, self.columns.T @ scaled))
        return scaled - self.columns @ inner / self.diagonal[:, None]

    def sample(self, n: int, *, key) -> Float[Array, "n p"]:
        """covariance (D^1/2 e + W f) has the covariance (D + W W')^-1 for standard normal e and f."""
        first, second = jax.random.split(key)
        own = normals(first, (n, self.mean.shape[0]), self.mean.dtype) * jnp.sqrt(self.diagonal)
        shared = normals(second, (n, self.columns.shape[1]), self.mean.dtype) @ self.columns.T
        return self.mean + self.solve((own + shared).T).T

    def quantile(self, q) -> Float[Array, "*q p"]:
        """mean + sd * Phi^-1(q)."""
        z = jax.scipy.special.ndtri(jnp.asarray(q, self.mean.dtype))[..., None]
        return self.mean + z * jnp.sqrt(self.variance)

    def moved(self, mean, slope: Float[Array, "p"], sd: Float[Array, "p"], time) -> "LowRankGaussian":
        """The belief about slope * x + sd * e, about a new mean: exact, and of the same rank.

        D' = D / c, W' = (slope / c) W C, c = slope^2 + sd^2 D, C C' = (I + W' diag(sd^2 / c) W)^-1.
        """
        c = slope**2 + sd**2 * self.diagonal
        inner = self.columns.T @ ((sd**2 / c)[:, None] * self.columns)
        root = cholesky(jnp.eye(inner.shape[0], dtype=inner.dtype) + inner)
        columns = (slope / c)[:, None] * lower_solve(root, self.columns.T).T
        return LowRankGaussian(mean, self.diagonal / c, columns, time)

    def tempered(self, kept: Float[Array, "p"], centre: Float[Array, "p"], sd: Float[Array, "p"]) -> "LowRankGaussian":
        """With the precision K^1/2 (D + W W') K^1/2 + (I - K) S^-2, K = diag(`kept`), the mean drawn to `centre`: exact,
        and of the same rank."""
        prior = (1 - kept) / sd**2
        columns = jnp.sqrt(kept)[:, None] * self.columns
        new = LowRankGaussian(self.mean, kept * self.diagonal + prior, columns, self.time)
        step = new.solve((prior * (centre - self.mean))[:, None])[:, 0]
        return LowRankGaussian(self.mean + step, new.diagonal, columns, self.time)

    def informed(self, score: Float[Array, "p"], factor: Float[Array, "p k"]) -> "LowRankGaussian":
        """With the precision D + W W' + B B', B = `factor`, cut back to the rank, and the mean moved by its inverse, before
        anything is cut, times `score`.

        Of [W, B] the directions stay in which D^-1/2 [W, B] is largest; what is cut adds its diagonal to D, so that the
        precision keeps its diagonal. Derivatives hold the directions still: exact where nothing is cut.
        """
        wide = LowRankGaussian(self.mean, self.diagonal, jnp.concatenate([self.columns, factor], axis=1), self.time)
        mean = self.mean + wide.solve(score[:, None])[:, 0]
        scaled = jax.lax.stop_gradient(wide.columns / jnp.sqrt(self.diagonal)[:, None])
        turned = wide.columns @ jnp.linalg.eigh(scaled.T @ scaled)[1]
        cut, kept = turned[:, : factor.shape[1]], turned[:, factor.shape[1] :]
        return LowRankGaussian(mean, self.diagonal + jnp.sum(cut**2, axis=1), kept, self.time)
