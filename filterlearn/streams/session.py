"""A stream: one compiled step, a clock, a counter and a key."""

from __future__ import annotations

import dataclasses
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from filterlearn import protocol
from filterlearn.beliefs.joint import AbstractJointBelief
from filterlearn.clock import elapsed, floats
from filterlearn.data import Datum
from filterlearn.inputs import as_inputs
from filterlearn.streams import checkpoint

_LEVELS = (0.05, 0.5, 0.95)


@dataclasses.dataclass(frozen=True)
class Report:
    """What one observation told: the state's mean and covariance after it, the one-step log score, the parameters by name
    (constrained: mean, sd and the 5, 50 and 95 % quantiles), flags in words, and the Info."""

    mean: np.ndarray
    covariance: np.ndarray
    log_evidence: float
    parameters: dict[str, dict[str, np.ndarray]]
    flags: tuple[str, ...]
    info: Any


def named_parameters(family, belief, key, draws: int = 1000) -> dict[str, dict[str, Any]]:
    """Constrained summaries of a learner's parameters from draws of its belief."""
    thetas = belief.parameters.sample(draws, key=key)
    values = jax.vmap(family.constrain)(thetas)
    return {
        name: {"mean": v.mean(0), "sd": v.std(0), "quantiles": jnp.quantile(v, jnp.asarray(_LEVELS, v.dtype), axis=0)}
        for name, v in values.items()
    }


@eqx.filter_jit
def _observe(algorithm, problem, belief, k, time, value, inputs, key):
    each = jax.random.fold_in(key, k)
    after, info = protocol.step(algorithm, problem, belief, Datum(time, value, inputs), key=each)
    good = (info.flags & (protocol.NOT_FINITE | protocol.COVARIANCE_LOST)) == 0
    kept = jax.tree.map(lambda new, old: jnp.where(good, jnp.asarray(new, old.dtype), old), after, belief)
    named = {}
    if isinstance(belief, AbstractJointBelief):
        named = named_parameters(problem, kept, jax.random.fold_in(each, 3))
    return kept, info, (kept.mean, kept.covariance, named)


class Session:
    """Streams observations into an algorithm, one compiled step each.

    A belief that stops being finite is not kept: the last good one stays and the report is flagged. Resumed from a
    checkpoint, a session equals an uninterrupted one to the bit on one machine and version. Datetimes are understood when
    `origin` and `unit` are given.
    """

    def __init__(self, algorithm, problem, *, key, origin=None, unit=None):
        self.algorithm, self.problem, self.key = algorithm, problem, key
        self.origin, self.unit = origin, unit
        start = eqx.filter_jit(lambda a, p, k: protocol.strong(a.init(p, key=jax.random.fold_in(k, 0))))
        self.belief = start(algorithm, problem, key)
        self.count = 0

    def _time(self, time):
        if isinstance(time, int | float | np.number | jax.Array):
            given = float(time)
        elif self.origin is None:
            raise TypeError(f"time: a number is needed, got {time!r}; give Session(origin=..., unit=...) for datetimes")
        else:
            given = float(elapsed(time, self.origin, self.unit or "D"))
        if not np.isfinite(given):
            raise ValueError(f"time: a finite number is needed, got {given}")
        return jnp.asarray(given, self.belief.time.dtype)

    def observe(self, time, value, inputs=None) -> Report:
        """Absorbs one observation; NaN entries are missing. Raises ValueError for infinities and wrong shapes, and then the
        belief is untouched."""
        array = np.atleast_1d(floats("value", value))
        if np.isinf(array).any():
            raise ValueError(f"value: finite numbers or NaN are needed, got {array.tolist()}")
        dtype = self.belief.time.dtype
        given = as_inputs(inputs, dtype, origin=self.origin, unit=self.unit)
        arguments = (jnp.asarray(self.count + 1), self._time(time), jnp.asarray(array, dtype), given, self.key)
        belief, info, (mean, covariance, named) = _observe(self.algorithm, self.problem, self.belief, *arguments)
        self.belief, self.count = belief, self.count + 1
        flags = tuple(word for bit, word in protocol.FLAGS.items() if int(info.flags) & bit)
        named = jax.tree.map(np.asarray, named)
        return Report(np.asarray(mean), np.asarray(covariance), float(info.log_evidence), named, flags, info)

    def forecast(self, times, *, inputs=None, draws: int = 1000):
        """Draws of the states and observations at later times; the stream's own noise is not touched."""
        clock = jnp.stack([self._time(t) for t in times])
        key = jax.random.fold_in(jax.random.fold_in(self.key, self.count), 2**31 - 1)
        given = as_inputs(inputs, self.belief.time.dtype, origin=self.origin, unit=self.unit)
        return protocol.forecast(self.algorithm, self.problem, self.belief, clock, inputs=given, key=key, draws=draws)

    def save(self, path, **meta) -> None:
        """Writes a checkpoint, atomically."""
        tree = (self.belief, jax.random.key_data(self.key))
        checkpoint.save(path, tree, {**meta, "count": self.count, "origin": self.origin, "unit": self.unit})

    @classmethod
    def load(cls, path, algorithm, problem) -> Session:
        """A session that goes on from a checkpoint. Raises ValueError naming the leaf when the model is another one."""
        session = cls(algorithm, problem, key=jax.random.key(0))
        tree, header = checkpoint.load(path, (session.belief, jax.random.key_data(session.key)))
        session.belief, session.key = tree[0], jax.random.wrap_key_data(tree[1])
        session.count, session.origin, session.unit = header["count"], header["origin"], header["unit"]
        return session
