"""Metropolis moves of parameter particles over the data so far."""

import dataclasses
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from filterlearn.beliefs.history import History, Record
from filterlearn.beliefs.joint import NestedBelief
from filterlearn.beliefs.particles import Particles, weighted_covariance, weighted_mean
from filterlearn.clock import whole
from filterlearn.data import Datum
from filterlearn.inputs import AbstractInputs
from filterlearn.moves.base import AbstractMove
from filterlearn.numerics.densities import normalise
from filterlearn.numerics.masking import choose, observed
from filterlearn.numerics.small import cholesky, lower_solve
from filterlearn.protocol import HISTORY_FULL, NOISY, same, sensors, step_keys, strong

_MOST = 2.0  # variance of a log evidence, of particles inside, above which moves are refused for noise; doubling leaves 1
_PROBES = 32  # parameter particles that are filtered again where they are, to measure it
_FLOOR = 1e-5  # of the variances, added to them: a cloud of few different particles still has a proposal


class _Cloud(eqx.Module):
    """The normal law N(m, L L') fitted to weighted parameter particles."""

    mean: Any
    factor: Any

    @classmethod
    def of(cls, particles, prior_sd):
        covariance = weighted_covariance(particles.points, particles.weights)
        floor = jnp.diag(_FLOOR * (jnp.diagonal(covariance) + (_FLOOR * prior_sd) ** 2))
        return cls(weighted_mean(particles.points, particles.weights), cholesky(covariance + floor))

    def white(self, thetas):
        return lower_solve(self.factor, (thetas - self.mean).T).T

    def coloured(self, white):
        return self.mean + white @ self.factor.T


def replayed(filter, problem, thetas, history: History, *, key):
    """(beliefs, log evidences `(M,)`) of the filter under each of M thetas after the data of a history; -inf where a theta
    breaks the model."""
    keys = jax.random.split(key, thetas.shape[0])
    belief = jax.vmap(lambda th, k: strong(filter.init(problem(th), key=jax.random.fold_in(k, 0))))(thetas, keys)

    def datum(k, carry):
        belief, total = carry
        row = history.row(k)

        def one(theta, belief, key):
            after, info = filter.step(problem(theta), belief, row, keys=step_keys(jax.random.fold_in(key, k + 1)))
            return after, info.log_evidence

        after, evidence = jax.vmap(one)(thetas, belief, keys)
        return same(belief, after), total + jnp.where(observed(row.value).any(), evidence, 0.0)

    belief, total = jax.lax.fori_loop(0, history.count, datum, (belief, jnp.zeros_like(thetas[:, 0])))
    return belief, jnp.where(jnp.isfinite(total), total, -jnp.inf)


def _draws(filter, problem) -> bool:
    """Whether a filter draws random numbers."""
    try:
        eqx.filter_eval_shape(filter.init, problem(problem.median))
    except ValueError:  # it needs a key
        return True
    return False


def _noise(kept, fresh):
    """Half the variance of the difference of two estimates."""
    gap = kept - fresh
    return 0.5 * jnp.var(gap, where=jnp.isfinite(gap))


class Rejuvenation(AbstractMove):
    """Metropolis-Hastings moves of the particles of static parameters, each by filtering the data so far anew, so that they
    are draws from p(theta | y_1..k) again: with an exact filter inside, `Nested` is then iterated batch importance sampling
    (Chopin 2002, doi:10.1093/biomet/89.3.539), with particles inside SMC^2, which keeps for each theta the estimated evidence
    that it was accepted with (Chopin, Jacob & Papaspiliopoulos 2013, doi:10.1111/j.1467-9868.2012.01046.x).

    With mean m and covariance L L' of the weighted particles, theta' = m + c (theta - m) + sqrt(1 - c^2) L z is accepted with
    probability min(1, p(theta') p^(y | theta') N(theta; m, L L') / (p(theta) p^(y | theta) N(theta'; m, L L'))), `moves`
    times. A `correlation` c of 0 draws independently from the fitted normal law; nearer to 1 it walks.

    Consistent as the particles of `Nested` grow, for any number of particles inside a `ParticleFilter`; the posterior under
    the evidence of the filter inside where that is not exact. m and L come from the particles themselves, which biases the
    evidence by O(1 / size). A datum that next to no particle explains leaves few to fit: wants more particles.

    With a filter inside that draws, 32 of the particles are filtered again where they are, to measure the variance of its
    log evidence over keys, `belief.record.noise`: above 2 the report is flagged `evidence noisy` (chains stick, Doucet et al.
    2015, doi:10.1093/biomet/asu075). A `Session` then doubles the size inside, and exchanges each estimate for one of the
    larger filter, weighing by their ratio.

    The data are kept in the belief, in a buffer of `capacity` rows, each of which is filtered in one `step`; `inputs` is an
    example of what each brings, for a model that reads them. A resampling at datum k filters k data again, `moves` times for
    each particle; under `vmap` every datum does. Once the buffer is full reports are flagged `history full`, and from the
    next datum on particles are resampled but no longer moved; a `Session` doubles the buffer first. The share of the last
    moves that was accepted is `belief.record.acceptance`.

    Raises ValueError for parameters that move, and TypeError for inputs other than those of the example. Loops of a length
    known at run time only have no reverse-mode derivative.
    """

    capacity: int = eqx.field(static=True)
    moves: int = eqx.field(static=True, default=2)
    correlation: Any = 0.5
    inputs: Any = None

    def __check_init__(self):
        whole("capacity", self.capacity, 1)
        whole("moves", self.moves, 1)

    def begun(self, filter, problem, belief):
        """With an empty history."""
        if problem.moving:
            raise ValueError(
                f"move: Rejuvenation is for static parameters, and {list(problem.moving)} move; take None, Jitter or LiuWest"
            )
        if problem.begin is not None:
            raise ValueError("family: Rejuvenation moves towards prior times likelihood; give the family without `started`")
        dtype = belief.parameters.points.dtype
        given = jax.tree.map(lambda leaf: jnp.asarray(leaf, dtype), self.inputs)
        time = jnp.zeros((), belief.time.dtype)
        value = jnp.zeros(sensors(problem, belief, time, given), dtype)
        history = History.empty(self.capacity, Datum(time, value, given))
        levels, nothing = jnp.zeros_like(belief.parameters.log_weights), jnp.full((), jnp.nan, dtype)
        record = Record(history, levels, nothing, nothing)
        return eqx.tree_at(lambda b: b.record, belief, record, is_leaf=lambda x: x is None)

    def reached(self, record, before, time, inputs):
        """A new row for a later time."""
        self._check(record.history.rows.inputs, inputs)
        return eqx.tree_at(lambda r: r.history, record, record.history.reached(before, time, inputs))

    def _check(self, kept, given):
        if isinstance(given, AbstractInputs):
            raise TypeError(f"inputs: arrays are needed for Rejuvenation, got {type(given).__name__}")
        shapes = [None if each is None else each.shape for each in (None if kept is None else kept[0], given)]
        if shapes[0] != shapes[1]:
            words = ["none" if shape is None else f"shape {shape}" for shape in shapes]
            raise TypeError(f"inputs: {words[0]} as in Rejuvenation(inputs=...), an example, needed, got {words[1]}")

    def told(self, record, datum, log_evidence):
        """The datum in its row, and the evidences with what it adds."""
        added = jnp.where(observed(datum.value).any(), log_evidence, 0.0)
        levels = record.log_evidence + jnp.where(jnp.isfinite(added), added, -jnp.inf)
        return Record(record.history.told(datum), levels, record.acceptance, record.noise)

    def flags(self, record):
        """Whether the buffer is full, and whether the evidence of the filter inside was too noisy when last measured."""
        return HISTORY_FULL * (record.history.count >= self.capacity) | NOISY * (record.noise > _MOST)

    def larger(self, flags):
        """Twice the buffer, where it is full."""
        return dataclasses.replace(self, capacity=2 * self.capacity) if flags & HISTORY_FULL else self

    def enlarged(self, filter, problem, belief, flags, *, key):
        """The history in the longer buffer. For another filter the estimates of the evidence are exchanged: every particle
        filtered again, and weighed by the new estimate over the old."""
        belief = eqx.tree_at(lambda b: b.record.history, belief, belief.record.history.widened(self.capacity))
        if not flags & NOISY:
            return belief
        cloud, record = belief.parameters, belief.record
        inner, levels = replayed(filter, problem, cloud.points, record.history, key=key)
        gain = jnp.where(jnp.isfinite(record.log_evidence), levels - record.log_evidence, -jnp.inf)
        particles = Particles(cloud.points, normalise(cloud.log_weights + gain)[0], cloud.time)
        record = Record(record.history, levels, record.acceptance, jnp.full_like(record.noise, jnp.nan))
        return NestedBelief(time=belief.time, parameters=particles, inner=inner, record=record)

    def moved(self, filter, problem, belief, index, *, key):
        """The ancestors, moved if their whole history is there."""
        cloud, start, size = _Cloud.of(belief.parameters, problem.sd), belief.chosen(index), index.shape[0]
        few = min(_PROBES, size) if _draws(filter, problem) else 0
        probes = np.arange(few) * size // max(few, 1)
        times = jnp.where(start.record.history.whole, self.moves, 0)

        def again(k, carry):
            now, accepted = carry
            new, accept = self._tried(filter, problem, now, cloud, probes, jax.random.fold_in(key, k))
            return same(now, new), accepted + jnp.mean(accept, dtype=accepted.dtype)

        after, accepted = jax.lax.fori_loop(0, times, again, (start, jnp.zeros_like(start.record.acceptance)))
        share = jnp.where(times > 0, accepted / self.moves, jnp.nan)
        return eqx.tree_at(lambda b: b.record.acceptance, after, share)

    def _tried(self, filter, problem, belief, cloud, probes, key):
        """(belief, whether each particle was accepted) after one proposal for each; the noise measured at some particles."""
        first, second, third = jax.random.split(key, 3)
        thetas, record = belief.parameters.points, belief.record
        white = cloud.white(thetas)
        noise = jax.random.normal(first, white.shape, white.dtype)
        ahead = self.correlation * white + jnp.sqrt(1.0 - self.correlation**2) * noise
        proposed = cloud.coloured(ahead)
        both = jnp.concatenate([proposed, thetas[probes]])
        inner, evidence = replayed(filter, problem, both, record.history, key=second)
        noise = _noise(record.log_evidence[probes], evidence[len(thetas) :]) if len(probes) else record.noise
        inner, evidence = jax.tree.map(lambda leaf: leaf[: len(thetas)], (inner, evidence))
        prior = jax.vmap(problem.log_prior)
        gain = evidence - record.log_evidence + prior(proposed) - prior(thetas)
        gain += 0.5 * jnp.sum(ahead**2 - white**2, axis=1)
        accept = jnp.log(jax.random.uniform(third, gain.shape, gain.dtype)) < gain
        new = jax.vmap(choose)(accept, (proposed, inner, evidence), (thetas, belief.inner, record.log_evidence))
        parts = lambda b: (b.parameters.points, b.inner, b.record.log_evidence, b.record.noise)  # noqa: E731
        return eqx.tree_at(parts, belief, (*new, noise)), accept
