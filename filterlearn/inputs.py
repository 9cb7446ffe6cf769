"""Inputs: rows beside the observations, or a function of time that every substep reads."""

from __future__ import annotations

import abc
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Float

from filterlearn.clock import checked_times, datetimes, elapsed, floats


class AbstractInputs(eqx.Module):
    """Inputs as a function of time. Each function of a model gets its value at its own time, at every substep."""

    @abc.abstractmethod
    def __call__(self, t) -> Float[Array, "*p"]:
        """The inputs at a time on the data's clock."""

    def on(self, origin, unit) -> AbstractInputs:
        """The same function for data whose times are numbers of `unit` since `origin`."""
        return self

    def check_covers(self, start) -> None:
        """Raises ValueError where the inputs are not known at the first time of some data."""


class AbstractTable(AbstractInputs):
    """Rows of inputs `(T, ...)` at strictly increasing times: datetimes, or numbers on the data's clock."""

    times: eqx.AbstractVar[Any]
    values: eqx.AbstractVar[Any]
    origin: eqx.AbstractVar[Any]
    unit: eqx.AbstractVar[Any]

    def on(self, origin, unit):
        """Datetimes become numbers on the data's clock."""
        if self.origin is None:
            return self
        if origin is None or unit is None:
            raise TypeError("inputs: their times are datetimes and those of the data are numbers; give both alike")
        return type(self)(elapsed(datetimes(self.times, self.origin, self.unit), origin, unit), self.values)

    def check_covers(self, start):
        """A series that begins before the first row is refused."""
        begin = self.times[0]
        if not isinstance(begin, Tracer) and start < begin:
            raise ValueError(f"inputs: they begin at {begin:g}, after the first datum at {start:g}; add an earlier row")

    def _before(self, t, last):
        """The row at or before a time, from the first to `last`."""
        return jnp.clip(jnp.searchsorted(jnp.asarray(self.times), t, side="right", method="scan_unrolled") - 1, 0, last)


def _checked(times, values, least):
    if isinstance(times, Tracer) or isinstance(values, Tracer):
        return times, values, None, None
    times, origin, unit = checked_times(times, None, None)
    values = _finite(values)
    if len(values) != len(times):
        raise ValueError(f"values: {len(times)} rows are needed, one per time, got {len(values)}")
    if len(times) < least:
        raise ValueError(f"times: at least {least} rows are needed, got {len(times)}")
    if (np.diff(times) == 0).any():
        k = int(np.flatnonzero(np.diff(times) == 0)[0]) + 1
        raise ValueError(f"times: not increasing at row {k} ({times[k]:g} again); keep one row for each time")
    return times, values, None if origin is None else str(origin), unit


class Held(AbstractTable):
    """The last value at or before the time: rows `values` `(T, ...)` from `times` `(T,)` on, each until the next.

    After the last row its value holds. Before the first, that of the first; a Dataset that begins there is refused.

    >>> float(Held([0.0, 1.0], [5.0, 7.0])(0.9))
    5.0
    """

    times: Any
    values: Any
    origin: Any = eqx.field(static=True)
    unit: Any = eqx.field(static=True)

    def __init__(self, times, values):
        self.times, self.values, self.origin, self.unit = _checked(times, values, 1)

    def __call__(self, t):
        """The row at or before t."""
        return jnp.asarray(self.values)[self._before(t, len(self.times) - 1)]


class Linear(AbstractTable):
    """Linear between the rows `values` `(T, ...)` at `times` `(T,)`, T at least 2.

    After the last row its value holds. Before the first, that of the first; a Dataset that begins there is refused.

    >>> float(Linear([0.0, 1.0], [5.0, 7.0])(0.5))
    6.0
    """

    times: Any
    values: Any
    origin: Any = eqx.field(static=True)
    unit: Any = eqx.field(static=True)

    def __init__(self, times, values):
        self.times, self.values, self.origin, self.unit = _checked(times, values, 2)

    def __call__(self, t):
        """Between the rows on both sides of t."""
        times, values = jnp.asarray(self.times), jnp.asarray(self.values)
        k = self._before(t, len(self.times) - 2)
        share = jnp.clip((t - times[k]) / (times[k + 1] - times[k]), 0.0, 1.0)
        return values[k] + share * (values[k + 1] - values[k])


def _finite(given) -> np.ndarray:
    array = floats("inputs", given)
    if not isinstance(array, Tracer) and not np.isfinite(array).all():
        raise ValueError("inputs: not finite; inputs are known exactly, fill the missing ones")
    return array


def as_row(given, dtype) -> np.ndarray:
    """Finite numbers that stay on the host until a compiled step takes them, which is the quicker way for one row."""
    return _finite(given).astype(dtype)


def as_inputs(given, dtype=float, *, origin=None, unit=None):
    """Inputs of one floating type: None, an array of finite numbers, or a function of time on the clock of some data."""
    if given is None:
        return None
    if not isinstance(given, AbstractInputs):
        return jnp.asarray(_finite(given), dtype)
    numbers, rest = eqx.partition(given.on(origin, unit), eqx.is_inexact_array_like)
    return eqx.combine(jax.tree.map(lambda leaf: jnp.asarray(leaf, dtype), numbers), rest)


def input_at(u, t):
    """What a function of a model reads: the inputs themselves, or their value at its time."""
    return u(t) if isinstance(u, AbstractInputs) else u


def by_row(inputs) -> tuple[Any, Callable]:
    """(what a scan takes row by row, the inputs from one such row)."""
    return (None, lambda row: inputs) if isinstance(inputs, AbstractInputs) else (inputs, lambda row: row)


def cut(inputs, index):
    """The inputs of some rows; a function of time stays whole."""
    return inputs if inputs is None or isinstance(inputs, AbstractInputs) else inputs[index]
