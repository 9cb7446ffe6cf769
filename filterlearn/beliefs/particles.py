"""A weighted sample."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from filterlearn.beliefs.base import AbstractWeighted
from filterlearn.numerics.densities import effective_size


def weighing(points: Float[Array, "N n"], weights: Float[Array, "N"]) -> Float[Array, "N n"]:
    """The points, zero where they weigh nothing: what is not finite there does not count."""
    return jnp.where(weights[:, None] > 0, points, 0.0)


def weighted_mean(points: Float[Array, "N n"], weights: Float[Array, "N"]) -> Float[Array, "n"]:
    """sum of w x."""
    return weights @ weighing(points, weights)


def weighted_covariance(points: Float[Array, "N n"], weights: Float[Array, "N"]) -> Float[Array, "n n"]:
    """sum of w (x - mean)(x - mean)'."""
    centred = weighing(points, weights) - weighted_mean(points, weights)
    return (weights[:, None] * centred).T @ centred


def mean_of_told(values: Float[Array, "N m"], weights: Float[Array, "N"]) -> Float[Array, "m"]:
    """Weighted mean, entry by entry, over those that tell a number; NaN where none does."""
    told = (weights[:, None] > 0) & ~jnp.isnan(values)
    share = jnp.where(told, weights[:, None], 0.0)
    total = jnp.sum(share, axis=0)
    mean = jnp.sum(share * jnp.where(told, values, 0.0), axis=0) / jnp.where(total > 0, total, 1.0)
    return jnp.where(total > 0, mean, jnp.nan)


def weighted_quantile(points: Float[Array, "N n"], weights: Float[Array, "N"], q) -> Float[Array, "*q n"]:
    """The smallest point whose cumulative weight reaches q, marginally."""

    def one(column):
        order = jnp.argsort(column)
        cumulative = jnp.cumsum(weights[order])
        index = jnp.searchsorted(cumulative, jnp.asarray(q, weights.dtype) * cumulative[-1])
        return column[order][jnp.minimum(index, column.shape[0] - 1)]

    return jnp.moveaxis(jax.vmap(one, in_axes=1)(points), 0, -1)


def drawn_by_weight(log_weights: Float[Array, "N"], n: int, key) -> Int[Array, "n"]:
    """`n` independent indices, each with probability proportional to its weight, by inversion of the cumulative weights."""
    cumulative = jnp.cumsum(jnp.exp(log_weights))
    index = jnp.searchsorted(cumulative, cumulative[-1] * jax.random.uniform(key, (n,), cumulative.dtype), side="right")
    return jnp.minimum(index, log_weights.shape[0] - 1)


class Lineage(eqx.Module):
    """For each of N points the first point that it descends from, its own place since the last resampling, and how often its
    line was resampled."""

    roots: Int[Array, "N"]
    places: Int[Array, "N"]
    resamplings: Int[Array, "N"]

    def begun(self):
        """Before a datum: each in its own place."""
        return Lineage(self.roots, jnp.arange(self.places.shape[0], dtype=self.places.dtype), self.resamplings)

    def noted(self):
        """After it: one resampling more, if any point has taken another's place."""
        moved = jnp.any(self.places != jnp.arange(self.places.shape[0]))
        return Lineage(self.roots, self.places, self.resamplings + moved)

    def shares(self, weights: Float[Array, "N"]) -> Float[Array, "N"]:
        """The weight of the descendants of each first point."""
        return jnp.zeros_like(weights).at[self.roots].add(weights)

    def variance(self, weights: Float[Array, "N"]) -> Float[Array, ""]:
        """1 - (N / (N - 1))^(resamplings + 1) (1 - sum over first points of the squared weight of their descendants)."""
        n = weights.shape[0]
        growth = jnp.exp((self.resamplings[0] + 1) * -jnp.log1p(-jnp.ones((), weights.dtype) / n))
        return 1 - growth * (1 - jnp.sum(self.shares(weights) ** 2))


class Particles(AbstractWeighted):
    """Points `(N, n)` with normalised log-weights `(N,)`. A point of weight zero does not count, finite or not.

    `lineage` is what a filter keeps beside the points, copied with them: a `Lineage`, or another pytree.
    """

    points: Float[Array, "N n"]
    log_weights: Float[Array, "N"]
    time: Any
    lineage: Any = None

    @property
    def mean(self) -> Float[Array, "n"]:
        """Weighted mean."""
        return weighted_mean(self.points, self.weights)

    @property
    def covariance(self) -> Float[Array, "n n"]:
        """Weighted covariance."""
        return weighted_covariance(self.points, self.weights)

    @property
    def ess(self) -> Float[Array, ""]:
        """Effective sample size."""
        return effective_size(self.log_weights)

    def sample(self, n: int, *, key) -> Float[Array, "k n"]:
        """Points drawn with replacement by weight."""
        return self.points[drawn_by_weight(self.log_weights, n, key)]

    def quantile(self, q) -> Float[Array, "*q n"]:
        """Weighted quantiles."""
        return weighted_quantile(self.points, self.weights, q)

    @property
    def evidence_variance(self) -> Float[Array, ""]:
        """Estimate of the variance of exp(log evidence so far) over its squared mean, about that of the log evidence, from
        the lineage of this one run (Lee & Whiteley 2018, doi:10.1093/biomet/asy028). ValueError where none is kept."""
        return self._line.variance(self.weights)

    @property
    def ancestors(self) -> Int[Array, ""]:
        """How many first points have descendants of weight left. ValueError where no lineage is kept."""
        return jnp.sum(self._line.shares(self.weights) > 0)

    @property
    def _line(self) -> Lineage:
        if not isinstance(self.lineage, Lineage):
            raise ValueError("lineage: not kept; filter with Genealogy(ParticleFilter(size, Multinomial()))")
        return self.lineage

    def carrying(self, lineage) -> "Particles":
        """The same points with another lineage, or None."""
        return Particles(self.points, self.log_weights, self.time, lineage)

    def resampled(self, resampler, log_weights: Float[Array, "N"], *, key):
        """The points, and their lineage if it is kept, chosen by a resampler for these log-weights."""
        if self.lineage is None:
            return Particles(*resampler.resample(log_weights, self.points, key=key), self.time)
        (points, lineage), weights = resampler.resample(log_weights, (self.points, self.lineage), key=key)
        return Particles(points, weights, self.time, lineage)

    def fresh(self, share: Float[Array, "f"]) -> Float[Array, "f"]:
        """All of it: resampling leaves copies, which only noise parts."""
        return share

    def mapped(self, matrix: Float[Array, "k n"], offset: Float[Array, "k"], factor: Float[Array, "k f"], *, key):
        """Each point mapped, with noise of its own."""
        noise = jax.random.normal(key, (self.points.shape[0], factor.shape[1]), factor.dtype)
        return eqx.tree_at(lambda b: b.points, self, self.points @ matrix.T + offset + noise @ factor.T)
