"""What a proposal does, and what those that look at the datum share."""

import abc
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp

from filterlearn.beliefs.particles import Particles
from filterlearn.models.base import AbstractGaussianObservation, AbstractGaussianTransition
from filterlearn.numerics.conditioning import drawn_given
from filterlearn.numerics.densities import masked_normal
from filterlearn.numerics.masking import filled, masked_covariance, observed
from filterlearn.numerics.sampling import normals
from filterlearn.numerics.small import applied, cholesky, product, symmetric
from filterlearn.quadratures.base import AbstractQuadrature


class Moved(NamedTuple):
    """Points at the datum's time `(N, n)`, the logarithms `(N,)` of density times transition over proposal, and what was told
    of the datum before it was seen: means, variances and distribution functions `(N, m)`."""

    points: Any
    log_weights: Any
    told: Any


class AbstractProposal(eqx.Module):
    """How the points of a particle filter move to a datum's time."""

    def check(self, model) -> None:
        """TypeError for a model that it cannot take."""

    @abc.abstractmethod
    def propose(self, model, belief, start, datum, *, key) -> Moved:
        """Each point moved from `start` to the datum's time."""

    @abc.abstractmethod
    def lookahead(self, model, points, start, datum):
        """log p(y | x) of each point before it moves, `(N,)`, exact or by a guess."""

    def before(self, model, belief, start, datum, resampler, *, key) -> Particles:
        """The points that are to be moved."""
        return belief

    def after(self, belief, log_weights, resampler, *, key) -> Particles:
        """The moved points once they are weighed: resampled."""
        return belief.resampled(resampler, log_weights, key=key)


def weighed(observation, points, datum) -> Moved:
    """Points that are there already, weighed by their densities."""
    y, t, u = datum.value, datum.time, datum.inputs
    density = jax.vmap(lambda x: observation.log_prob(y, x, t, u))(points)
    means, variances = jax.vmap(lambda x: observation.predicted(x, t, u))(points)
    return Moved(points, density, (means, variances, jax.vmap(lambda x: observation.cdf(y, x, t, u))(points)))


class Seen(NamedTuple):
    """A datum as y = mean + slope z + N(0, noise), z ~ N(0, I): the datum less its mean, 0 where it is missing, and the parts
    of the observed entries; `told` as in `Moved`."""

    error: Any
    slope: Any
    noise: Any
    told: Any

    def log_density(self, mask):
        """log N(error; 0, B B' + R)."""
        return masked_normal(self.error, cholesky(symmetric(product(self.slope, self.slope.T) + self.noise)), mask)


def seen_through(observation, rule, centre, factor, datum) -> Seen:
    """The datum of x = centre + factor z, linearised: to first order, or in the least squares sense by a rule."""

    def law(z):
        return observation.moments(centre + applied(factor, z), datum.time, datum.inputs)

    mean, slope, noise = _first_order(law, factor) if rule is None else _by_rule(rule, law, observation, factor)
    mask = observed(datum.value)
    error = observation.innovation(datum.value, mean)
    variance = jnp.sum(slope**2, axis=1) + jnp.diagonal(noise)
    told = (mean, variance, jax.scipy.special.ndtr(error / jnp.sqrt(variance)))
    error = jnp.where(mask, observation.innovation(filled(datum.value, mean), mean), 0.0)
    return Seen(error, jnp.where(mask[:, None], slope, 0.0), masked_covariance(noise, mask), told)


def _first_order(law, factor):
    def both(z):
        mean, noise = law(z)
        return mean, (mean, noise)

    slope, (mean, noise) = jax.jacfwd(both, has_aux=True)(jnp.zeros(factor.shape[1], factor.dtype))
    return mean, slope, noise


def _by_rule(rule, law, observation, factor):
    points, weights, spread = rule.points(factor.shape[1], factor.dtype)
    centre = law(jnp.zeros(factor.shape[1], factor.dtype))[0]
    values, noise = jax.vmap(law)(points)
    values = centre + jax.vmap(lambda y: observation.innovation(y, centre))(values)
    mean = weights @ values
    off = values - mean
    slope = off.T @ (weights[:, None] * points)
    rest = off.T @ (spread[:, None] * off) - slope @ slope.T
    return mean, slope, symmetric(rest) + jnp.tensordot(weights, noise, 1)


class AbstractConditioned(AbstractProposal):
    """Gaussian substeps, their normals drawn given the datum as the rest of the gap would carry them to it."""

    rule: eqx.AbstractVar[AbstractQuadrature | None]

    def check(self, model):
        """TypeError unless substeps and observation are Gaussian."""
        name, transition = type(self).__name__, model.transition
        if not isinstance(transition, AbstractGaussianTransition) or not transition.gaussian:
            given = type(transition).__name__
            raise TypeError(f"transition: {name} needs substeps of Gaussian law, without jumps, got {given}; use Bootstrap()")
        if not isinstance(model.observation, AbstractGaussianObservation):
            given = type(model.observation).__name__
            raise TypeError(f"observation: {name} needs a Gaussian one, got {given}; use Bootstrap()")

    def course(self, model, x, start, datum):
        """A path that points are taken to follow: what it moves from the start of each substep to the end of the gap, and in
        the substep, `(steps, n)` each. Unless overridden none, so that the substep's own drift is held."""
        return jnp.zeros((2, model.transition.substeps, x.shape[0]), x.dtype)

    def _seen(self, model, x, t, h, left, course, datum):
        """The substep's mean and factor, and the datum through what is `left` of the gap: over it the course, and what this
        substep moves beside it, held."""
        mean, factor = model.transition.moments(x, t, t + h, datum.inputs)
        wide, (rest, step) = jnp.sqrt(jnp.asarray(left, x.dtype)) * factor, course
        return mean, factor, seen_through(model.observation, self.rule, x + rest + left * (mean - x - step), wide, datum)

    def _drawn(self, model, x, t, h, left, course, datum, white):
        """One substep: (the new point, log of transition over proposal)."""
        mean, factor, seen = self._seen(model, x, t, h, left, course, datum)
        rest = seen.noise + (1 - 1 / left) * product(seen.slope, seen.slope.T)
        z, ratio = drawn_given(seen.error, seen.slope / jnp.sqrt(jnp.asarray(left, x.dtype)), rest, white)
        return mean + applied(factor, z), ratio

    def _moved(self, model, x, start, datum, white):
        """One point, substep by substep."""
        steps = model.transition.substeps
        h = (datum.time - start) / steps

        def one(carry, each):
            (point, total), (k, row, *course) = carry, each
            new, ratio = self._drawn(model, point, start + k * h, h, steps - k, course, datum, row)
            return (new, total + ratio), None

        index, course = jnp.arange(steps, dtype=x.dtype), self.course(model, x, start, datum)
        (point, total), _ = jax.lax.scan(one, (x, jnp.zeros((), x.dtype)), (index, white, *course))
        density = model.observation.log_prob(datum.value, point, datum.time, datum.inputs)
        return point, density + total, self._ahead(model, x, start, course, datum).told

    def _ahead(self, model, x, start, course, datum):
        """The datum through the whole gap."""
        steps, first = model.transition.substeps, [rows[0] for rows in course]
        return self._seen(model, x, start, (datum.time - start) / steps, steps, first, datum)[2]

    def propose(self, model, belief, start, datum, *, key):
        """Each point moved by normals drawn given the datum."""
        points, steps = belief.points, model.transition.substeps
        law = jax.eval_shape(lambda x: model.transition.moments(x, start, datum.time, datum.inputs)[1], points[0])
        white = normals(key, (points.shape[0], steps, law.shape[1]), points.dtype)
        return Moved(*jax.vmap(lambda x, rows: self._moved(model, x, start, datum, rows))(points, white))

    def lookahead(self, model, points, start, datum):
        """The Gaussian density of the datum through the whole gap."""
        mask = observed(datum.value)

        def guess(x):
            return self._ahead(model, x, start, self.course(model, x, start, datum), datum).log_density(mask)

        return jax.vmap(guess)(points)
