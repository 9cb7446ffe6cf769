"""The verbs that every algorithm answers, and the drivers written once against them."""

from __future__ import annotations

import abc
import functools
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from filterlearn.beliefs.base import AbstractBelief, AbstractSeries, present
from filterlearn.beliefs.joint import AbstractJointBelief
from filterlearn.data import Dataset, Datum, checked
from filterlearn.inputs import as_inputs, by_row
from filterlearn.models.family import ModelFamily
from filterlearn.models.gaps import distinct_gaps, prepared
from filterlearn.models.simulate import path

NOT_FINITE, COVARIANCE_LOST, COLLAPSED, LATE, OUT_OF_RANGE, HISTORY_FULL, NOISY = 1, 2, 4, 8, 16, 32, 64
SURPRISED, DUPLICATE = 128, 256
ASKING = HISTORY_FULL | NOISY  # for a larger algorithm
FLAGS = {
    NOT_FINITE: "not finite",
    COVARIANCE_LOST: "covariance lost",
    COLLAPSED: "weights collapsed",
    LATE: "late",
    OUT_OF_RANGE: "out of range",
    HISTORY_FULL: "history full",
    NOISY: "evidence noisy",
    SURPRISED: "surprised",
    DUPLICATE: "duplicate",
}


@functools.cache
def words(flags: int) -> tuple[str, ...]:
    """What flags say."""
    return tuple(word for bit, word in FLAGS.items() if flags & bit)


class Info(eqx.Module):
    """What one update told.

    `log_evidence` is log p(y_k | y_1..k-1) or its stated estimate; `predicted` the mean and variance `(m,)` each of y_k
    before it was seen; `pit` the predictive distribution function at y_k `(m,)`, NaN where y_k is missing; `ess` the
    effective sample size (NaN for Gaussian beliefs); `flags` a sum of 1 not finite, 2 covariance lost, 4 weights or
    ensemble collapsed, 8 late, 16 out of range (a particle's state is not finite: it exploded, or a jump's intensity passed
    its bound), 32 history full (the buffer of data that a move filters again), 64 evidence noisy (of
    the filter inside: it asks for more points), 128 surprised (a monitor: the data are not as predicted),
    256 duplicate (a session: a datum of this id was there before).
    """

    log_evidence: Any
    predicted: Any
    pit: Any
    ess: Any
    flags: Any


class AbstractAlgorithm(eqx.Module):
    """How knowledge is revised: `init`, `predict`, `update`. Frozen, and without a key or a clock of its own."""

    @abc.abstractmethod
    def init(self, problem, *, key=None) -> AbstractBelief:
        """The belief before any datum."""

    @abc.abstractmethod
    def predict(self, problem, belief, time, inputs=None, *, key=None) -> AbstractBelief:
        """The belief at a later time."""

    @abc.abstractmethod
    def update(self, problem, belief, datum, *, key=None) -> tuple[AbstractBelief, Info]:
        """The belief after a datum at the belief's time."""

    def step(self, problem, belief, datum, *, keys) -> tuple[AbstractBelief, Info]:
        """Both in one, for a datum no earlier than the belief: the prediction by the first of two keys (None where none is
        needed), the update by the second. An algorithm that predicts with an eye on the datum does so here."""
        first, second = keys
        ahead = self.predict(problem, belief, datum.time, datum.inputs, key=first)
        return self.update(problem, ahead, datum, key=second)

    def larger(self, flags: int) -> AbstractAlgorithm:
        """The algorithm with more room where flags ask for it; itself where they do not, or it has none to give."""
        return self

    def enlarged(self, problem, belief, flags: int, *, key=None) -> AbstractBelief:
        """The belief of the algorithm that this one is the larger of, made this one's."""
        return belief

    def sweep(self, advance, read, belief, rows):
        """The whole of a series: (the last belief, what is saved of each). `advance(belief, row)` is one step, `read(row)`
        the key, the problem and the datum of a row; the rows are stacked on their first axis. One after another, unless
        an algorithm has a faster way to the same answer. A reverse pass makes each step anew from the belief before it, so
        that its memory is that of the beliefs."""
        return jax.lax.scan(jax.checkpoint(advance), belief, rows)


def origin_of(time, now):
    """Where a prediction starts: a belief with time -inf starts at the datum."""
    return jnp.where(jnp.isinf(time), now, time)


def needed(key):
    """The key, or an error."""
    if key is None:
        raise ValueError("key: this algorithm draws random numbers; give key=jax.random.key(0)")
    return key


def step_keys(key):
    """The keys of a datum's prediction and of its update."""
    return (None, None) if key is None else tuple(jax.random.split(key))


def sensors(problem, belief, time, inputs) -> tuple[int, ...]:
    """The shape of a datum, by tracing a draw of it."""

    def draw(x, key):
        model = (problem(problem.median) if isinstance(problem, ModelFamily) else problem).resolve()
        return model.observation.sample(x, time, inputs, key=key)

    return jax.eval_shape(draw, belief.mean, jax.random.key(0)).shape


def step(algorithm, problem, belief, datum, *, key=None):
    """Predict to the datum's time, then update: `(belief, Info)`. A datum before the belief's time changes nothing and is
    flagged late. Raises ValueError for a value of another shape than the model's."""
    shape = sensors(problem, belief, datum.time, datum.inputs)
    if datum.value.shape != shape:
        raise ValueError(f"value: shape {shape} is needed, one entry for each sensor of the model, got {datum.value.shape}")
    late = datum.time < belief.time
    time = jnp.where(late, belief.time, datum.time)
    value = jnp.where(late, jnp.nan, datum.value)
    after, info = algorithm.step(problem, belief, Datum(time, value, datum.inputs), keys=step_keys(key))
    return after, eqx.tree_at(lambda i: i.flags, info, info.flags + LATE * late)


class Trajectory(AbstractSeries):
    """Beliefs and Info with time on the first axis, the last belief and the data."""

    saved: Any
    last: AbstractBelief
    data: Dataset

    @property
    def beliefs(self):
        """The beliefs after each datum, stacked."""
        return self.saved[0]

    @property
    def info(self) -> Info:
        """What each update told."""
        return self.saved[1]

    @property
    def log_evidence(self):
        """log p(y_k | y_1..k-1), `(T,)`."""
        return self.info.log_evidence


def same(before, after):
    """`after` with the types of `before`, so that the scan carries one type."""
    return jax.tree.map(lambda a, b: jnp.asarray(b, a.dtype), before, after)


def strong(tree):
    """Leaves without weak types, so that a stream traces once."""
    return jax.tree.map(lambda leaf: jax.lax.convert_element_type(leaf, jnp.asarray(leaf).dtype), tree)


def stream_keys(key, length: int):
    """The keys of the start and of each datum, `(length + 1,)`: fold_in(key, k), or those given."""
    if key is None or key.ndim:
        return key
    return jax.vmap(lambda k: jax.random.fold_in(key, k))(jnp.arange(length + 1))


def scan(algorithm, problem, data, gaps, key, save):
    """The whole series in one sweep; datum k (from 1) uses fold_in(key, k), the start fold_in(key, 0), unless a key for
    each is given."""
    keys = stream_keys(key, len(data))
    first, later = (None, None) if keys is None else (keys[0], keys[1:])
    problem = problem if isinstance(problem, ModelFamily) else problem.resolve()
    belief = strong(algorithm.init(problem, key=first))
    rows, here = prepared(problem, origin_of(belief.time, data.times[0]), data.times, gaps)
    inputs, unpacked = by_row(data.inputs)

    def read(row):
        own, time, value, given, law = row
        return own, here(law), Datum(time, value, unpacked(given))

    def advance(carry, row):
        own, model, datum = read(row)
        after, info = step(algorithm, model, carry, datum, key=own)
        return same(carry, after), save(after, info)

    return algorithm.sweep(advance, read, belief, (later, data.times, data.values, inputs, rows))


_scan = eqx.filter_jit(scan)


def _everything(belief, info):
    return belief, info


def _evidence(belief, info):
    return info.log_evidence


def run(algorithm, problem, data, *, key=None, save=None) -> Trajectory:
    """Filters a series: a `Trajectory` of beliefs and Info, or of what `save(belief, info)` returns.

    Raises FloatingPointError, with the row and time, when a belief stops being finite.
    """
    last, saved = _scan(algorithm, problem, checked(data), distinct_gaps(data.times), key, save or _everything)
    if save is None and not isinstance(last.time, Tracer):
        _raise_on_flags(saved[1].flags, data.times)
    return Trajectory(saved, last, data)


def _raise_on_flags(flags, times):
    bad = np.flatnonzero(np.asarray(flags) & (NOT_FINITE | COVARIANCE_LOST))
    if bad.size:
        k = int(bad[0])
        raise FloatingPointError(f"belief: {', '.join(words(int(flags[k])))} at row {k}, time {float(times[k]):g}")


def log_evidence(algorithm, problem, data, *, key=None):
    """log p(y_1..T), or its estimate; -inf where a parameter breaks the model. Differentiable and vmappable."""
    total = jnp.sum(_scan(algorithm, problem, checked(data), distinct_gaps(data.times), key, _evidence)[1])
    return jnp.where(jnp.isfinite(total), total, -jnp.inf)


class Forecast(eqx.Module):
    """Draws at the forecast times: states `(draws, T, n)` and observations `(draws, T, m)`."""

    states: Any
    observations: Any


@eqx.filter_jit
def _forecast(problem, belief, times, inputs, key, draws):
    first, second = jax.random.split(key)
    keys, clock = jax.random.split(second, draws), origin_of(belief.time, times[0])
    if isinstance(belief, AbstractJointBelief):
        states, thetas = belief.sample_both(draws, key=first)
        return jax.vmap(lambda x, th, k: path(problem(th).resolve(), x, clock, times, inputs, k))(states, thetas, keys)
    return jax.vmap(lambda x, k: path(problem.resolve(), x, clock, times, inputs, k))(belief.sample(draws, key=first), keys)


def forecast(algorithm, problem, belief, times, *, inputs=None, key, draws: int = 1000) -> Forecast:
    """Draws of the future under a belief: state and, for a learner, parameter uncertainty; parameters stay where they are."""
    times = jnp.asarray(times, belief.time.dtype)
    return Forecast(*_forecast(problem, present(belief), times, as_inputs(inputs, times.dtype), key, draws))
