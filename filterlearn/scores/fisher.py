"""The score of a particle filter by Fisher's identity."""

import abc

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from filterlearn.beliefs.particles import drawn_by_weight, weighing
from filterlearn.clock import whole
from filterlearn.filters.particle import ParticleFilter
from filterlearn.models.base import starting_gaussian, starts_gaussian
from filterlearn.numerics.densities import normalise
from filterlearn.numerics.masking import observed
from filterlearn.numerics.small import lower_solve, semidefinite_factor
from filterlearn.proposals.base import weighed
from filterlearn.proposals.bootstrap import Bootstrap
from filterlearn.protocol import needed, origin_of
from filterlearn.resamplers.base import check_copies
from filterlearn.scores.base import AbstractScore, Scored
from filterlearn.smoothers.backward_sampling import BackwardMetropolis
from filterlearn.smoothers.base import AbstractBackwardSampler, StepDensity, check_density

_STREAM = 2**31 - 5


class _Steps(eqx.Module):
    """The densities of one Gaussian step from each of N points, and the slopes of their moments by theta `(N, n, p)` and
    `(N, n, n, p)`, both divided by the factor."""

    density: StepDensity
    means: Float[Array, "N n p"]
    factors: Float[Array, "N n n p"]

    @classmethod
    def of(cls, law, theta):
        """From theta -> StepDensity. Where a direction without noise moves with theta there is no slope, and it is NaN."""

        slopes, density = _with_slope(law, theta)
        means = jax.vmap(_with_noise)(density.means, density.factors, slopes.means)
        divided = jax.vmap(lambda factor, b: lower_solve(_whole(factor), b.reshape(len(b), -1)).reshape(b.shape))
        return cls(density, divided(density.factors, means), divided(density.factors, slopes.factors))

    def at(self, index, points):
        """log f(x | x_index) at each point x `(k,)`, and its slopes by theta `(k, p)`: with w = L^-1 (x - m), in the
        directions with noise, w' L^-1 dm + w' L^-1 dL w - tr L^-1 dL."""
        mean, factor = self.density.means[index], self.density.factors[index]
        noisy = jnp.diagonal(factor) > 0
        levels = jax.vmap(lambda point: self.density.at(point, index))(points)
        white = jnp.where(noisy, lower_solve(_whole(factor), (points - mean).T).T, 0.0)
        turned = jnp.einsum("ka,abp,kb->kp", white, self.factors[index], white)
        shrunk = jnp.sum(jnp.where(noisy[:, None], jnp.einsum("aap->ap", self.factors[index]), 0.0), axis=0)
        return levels, white @ self.means[index] + turned - shrunk


def _whole(factor):
    """The factor with 1 for a pivot of 0."""
    return factor + jnp.diag(jnp.where(jnp.diagonal(factor) > 0, 0.0, 1.0))


def _with_noise(mean, factor, slope):
    """The slope of a mean `(n, p)`, NaN unless it is 0 in the directions without noise."""
    noisy = jnp.diagonal(factor)[:, None] > 0
    white = lower_solve(_whole(factor), slope)
    slack = 1e3 * jnp.finfo(mean.dtype).eps * (1 + jnp.max(jnp.abs(slope), initial=0.0))
    return jnp.where(jnp.all(noisy | (jnp.abs(white) < slack)), slope, jnp.nan)


class AbstractFisher(AbstractScore):
    """For each particle the mean score of the paths that end in it."""

    draws: eqx.AbstractVar[int]

    @abc.abstractmethod
    def handed(self, steps, log_weights, statistics, points, *, key) -> Float[Array, "N p"]:
        """The statistics at later points: the mean over the particles before, by weight times density, of their own plus the
        slope of the log-density of the step."""

    def check(self, filter):
        """TypeError for what is not a ParticleFilter."""
        if not isinstance(filter, ParticleFilter):
            raise TypeError(f"filter: {type(self).__name__} needs a ParticleFilter, got {type(filter).__name__}")

    def init(self, filter, family, theta, *, key):
        """The slope of the log-density of each starting point."""
        state = filter.init(family(theta), key=key)
        check_density(type(self).__name__, family(theta).resolve().transition)
        check_copies(type(self).__name__, filter, state)
        return state, _started(family, theta, state.points)

    def predict(self, filter, family, theta, state, carried, time, inputs, *, key):
        """Handed on to where the filter moves its points."""
        ahead = filter.predict(family(theta), state, time, inputs, key=key)
        return ahead, self._handed(family, theta, state.carrying(carried), ahead.points, time, inputs, key)

    def update(self, filter, family, theta, state, carried, datum, *, key):
        """Weighed with the points."""
        moved = weighed(family(theta).resolve().observation, state.points, datum)
        return self._told(filter, Bootstrap(), family, theta, state.carrying(carried), moved, state.time, datum, key)

    def step(self, filter, family, theta, state, carried, datum, *, keys):
        """Handed on to where the proposal moves the points, and weighed with them."""
        before, moved = filter.proposed(family(theta), state.carrying(carried), datum, keys=keys)
        later = self._handed(family, theta, before, moved.points, datum.time, datum.inputs, keys[0])
        there = filter, filter.proposal, family, theta, before.carrying(later), moved, datum.time
        return self._told(*there, datum, keys[1])

    def _handed(self, family, theta, before, points, time, inputs, key):
        start = origin_of(before.time, time)

        def law(theta):
            return StepDensity.of(family(theta).resolve().transition, before.points, start, time, inputs)

        own = jax.random.fold_in(needed(key), _STREAM)  # `key` itself moves the points
        return self.handed(_Steps.of(law, theta), before.log_weights, before.lineage, points, key=own)

    def _told(self, filter, proposal, family, theta, before, moved, time, datum, key):
        """(the filter's belief, the statistics, what the datum told), given those of the points that were moved: the score of
        the datum, and of others that are drawn from what was predicted."""
        weights = _predicted(family(theta).resolve().observation, before.log_weights, moved, datum)
        values = jnp.concatenate([datum.value[None], self._drawn(family, theta, moved.points, weights, datum, needed(key))])

        def seen(theta):
            observation, t, u = family(theta).resolve().observation, datum.time, datum.inputs
            return jax.vmap(lambda y: jax.vmap(lambda x: observation.log_prob(y, x, t, u))(moved.points))(values)

        slopes, levels = _with_slope(seen, theta)
        scores = jax.vmap(lambda slope, level: _mean(before.lineage + slope, _weighed(weights, level)))(slopes, levels)
        new, info = filter.corrected(proposal, before.carrying(before.lineage + slopes[0]), moved, time, datum, key)
        told = observed(datum.value).any()
        score = jnp.where(told, scores[0], 0.0)
        rest = (scores[1:] - _mean(before.lineage, weights)).T / jnp.sqrt(jnp.asarray(self.draws, theta.dtype))
        return new.carrying(None), new.lineage - score, Scored(info, score, jnp.where(told, rest, 0.0))

    def _drawn(self, family, theta, points, log_weights, datum, key):
        """Data `(draws, m)` that lack what the datum lacks."""
        first, second = jax.random.split(jax.random.fold_in(key, _STREAM))
        observation, (t, u) = family(theta).resolve().observation, (datum.time, datum.inputs)
        chosen = points[drawn_by_weight(log_weights, self.draws, first)]
        drawn = jax.vmap(lambda x, own: observation.sample(x, t, u, key=own))(chosen, jax.random.split(second, self.draws))
        return jnp.where(observed(datum.value), drawn, jnp.nan)


class FisherScore(AbstractFisher):
    """Fisher's identity for a particle filter: with a_j = w_j f(x_k | x_k-1^j) over its sum, each point carries

        T_k(x_k) = sum over j of a_j (T_k-1^j + d log f(x_k | x_k-1^j) / d theta) + d log g(y_k | x_k) / d theta,

    and the score is the mean of T_k by the weights less that of T_k-1 (Poyiadjis, Doucet & Singh 2011,
    doi:10.1093/biomet/asq062, algorithm 2). A datum costs N^2 densities.

    At a frozen theta the sum of the scores is consistent as N grows, biased of order 1 / N, and its variance grows with the
    length of the series, not with its square as that of a derivative along the paths. The filter's points and Info are its
    own. The information is the mean square of the scores of `draws` data that are drawn from what was predicted.

    Takes a `ParticleFilter` with any proposal, a resampler that copies points, and a transition of one substep of Gaussian
    law: TypeError otherwise. A direction without noise, or a start that is known, may not depend on theta: there is no
    density then, and the belief is flagged not finite.
    """

    draws: int = eqx.field(static=True, default=32)

    def __check_init__(self):
        whole("draws", self.draws, 1)

    def handed(self, steps, log_weights, statistics, points, *, key):
        """By all the weights of each point."""
        alive = (log_weights > -jnp.inf) & jnp.isfinite(steps.density.means).all(axis=1)
        levels, slopes = jax.vmap(steps.at, (0, None))(jnp.arange(alive.shape[0]), points)
        known = alive[:, None] & (levels > -jnp.inf)
        weights = jnp.where(known, log_weights[:, None] + levels, -jnp.inf)
        shares = jnp.where(known, jnp.exp(jax.vmap(lambda column: normalise(column)[0], 1, 1)(weights)), 0.0)
        carried = jnp.where(shares[..., None] > 0, statistics[:, None] + slopes, 0.0)
        return jnp.sum(shares[..., None] * carried, axis=0)


class ParisScore(AbstractFisher):
    """`FisherScore` with the mean over the particles before estimated from the few, `sampler.draws`, that a backward sampler
    chooses for each point: `ParisScore(BackwardMetropolis(2))`, whose cost grows with N, or `BackwardRejection(2)` (Olsson &
    Westerborn 2017, doi:10.3150/16-BEJ801; for tangents Olsson & Westerborn Alenlov 2020, doi:10.1007/s10463-018-0654-z; by
    moves Dau & Chopin 2023, doi:10.1214/22-AOS2270).

    Consistent as N grows for at least two of them; with one its variance grows as the square of the length of the series.
    Else as `FisherScore`.
    """

    sampler: AbstractBackwardSampler = BackwardMetropolis(2)
    draws: int = eqx.field(static=True, default=32)

    def __check_init__(self):
        whole("draws", self.draws, 1)
        whole("sampler.draws", self.sampler.draws, 2)

    def handed(self, steps, log_weights, statistics, points, *, key):
        """By those chosen."""
        many = self.sampler.draws
        ancestors = jnp.repeat(jnp.arange(points.shape[0]), many)
        later = jnp.repeat(points, many, axis=0)
        index = self.sampler.chosen(log_weights, steps.density, later, ancestors, key)

        def one(point, index):
            return statistics[index] + steps.at(index, point[None])[1][0]

        return jnp.mean(jax.vmap(one)(later, index).reshape(-1, many, statistics.shape[1]), axis=1)


def _weighed(log_weights, factors):
    """Normalised log-weights, times exp(factors); 0 where that is not a number."""
    return normalise(log_weights + jnp.where(jnp.isnan(factors), -jnp.inf, factors))[0]


def _predicted(observation, log_weights, moved, datum):
    """The log-weights of moved points before the datum was seen: those before the move, times transition over proposal."""
    density = jax.vmap(lambda x: observation.log_prob(datum.value, x, datum.time, datum.inputs))(moved.points)
    ratio = jnp.where(jnp.isfinite(density), moved.log_weights - density, 0.0)
    there = jnp.isfinite(moved.points).all(axis=1)
    return normalise(jnp.where(there, log_weights + ratio, -jnp.inf))[0]


def _mean(statistics, log_weights):
    """Their mean by weight."""
    shares = jnp.exp(log_weights)
    return shares @ weighing(statistics, shares)


def _with_slope(function, theta):
    """(the derivative of a function of theta, its value)."""

    def both(theta):
        value = function(theta)
        return value, value

    return jax.jacfwd(both, has_aux=True)(theta)


def _started(family, theta, points):
    """The slope of the log-density of the initial law at each point."""

    def initial(theta):
        return family(theta).resolve().initial

    if not starts_gaussian(initial(theta)):
        return _with_slope(lambda theta: jax.vmap(initial(theta).log_prob)(points), theta)[0]

    def law(theta):
        belief = starting_gaussian(initial(theta))
        return StepDensity(belief.mean[None], semidefinite_factor(belief.covariance)[None])

    return _Steps.of(law, theta).at(0, points)[1]
