"""Observations: one (`Datum`), or a stacked series of them (`Dataset`)."""

from __future__ import annotations

import csv
import itertools
import json
import numbers
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

_TO_SECONDS = {"s": 1.0, "m": 60.0, "h": 3600.0, "D": 86400.0, "W": 604800.0}


class Datum(eqx.Module):
    """One observation: its time (in the data's unit), its value `(m,)` with NaN for missing entries, and its inputs.

    >>> Datum(1.0, 2.0).value.shape
    (1,)
    """

    time: Any
    value: Any
    inputs: Any = None

    def __init__(self, time, value, inputs=None):
        self.time = jnp.asarray(time) if not isinstance(time, jax.Array) else time
        self.value = value if isinstance(value, jax.Array) and value.ndim else jnp.atleast_1d(jnp.asarray(value))
        self.inputs = inputs


def floats(name: str, given) -> np.ndarray:
    """`given` as a float array, or an error that names the argument: strings and ragged lists are refused."""
    if isinstance(given, Tracer):
        return given
    try:
        array = np.asarray(given)
    except ValueError as error:
        raise ValueError(f"{name}: the rows have unequal lengths; pad missing entries with NaN") from error
    if array.dtype.kind not in "fiub":
        raise TypeError(f"{name}: numbers are needed, got {array.dtype}; convert text to numbers first")
    return array if array.dtype.kind == "f" else array.astype(float)


def elapsed(times, origin, unit: str) -> np.ndarray:
    """Datetimes as numbers of `unit` since `origin`."""
    if unit not in _TO_SECONDS:
        raise ValueError(f"unit: one of {sorted(_TO_SECONDS)} is needed, got {unit!r}")
    delta = np.asarray(times, "datetime64[ns]") - np.datetime64(origin, "ns")
    if np.isnat(delta).any():
        raise ValueError("times: a datetime is missing (NaT); drop or fill that row")
    return delta.astype("timedelta64[ns]").astype(np.float64) / 1e9 / _TO_SECONDS[unit]


def _checked_times(times, origin, unit):
    array = np.asarray(times)
    if array.dtype.kind == "M" or (array.dtype == object and len(array) and not isinstance(array[0], (numbers.Number, list))):
        try:
            array = np.asarray(times, "datetime64[ns]")
        except (ValueError, TypeError) as error:
            raise TypeError(f"times: numbers or datetimes are needed, got {type(times[0]).__name__}") from error
        origin = array[0] if origin is None and len(array) else origin
        unit = unit or "D"
        array = elapsed(array, origin, unit)
    array = floats("times", array)
    if array.ndim != 1:
        raise ValueError(f"times: one dimension is needed, got shape {array.shape}")
    if not len(array):
        raise ValueError("times: no rows; a Dataset needs at least one observation")
    if not np.isfinite(array).all():
        raise ValueError(f"times: not finite at row {int(np.flatnonzero(~np.isfinite(array))[0])}; drop or fill that row")
    steps = np.diff(array)
    if (steps < 0).any():
        k = int(np.flatnonzero(steps < 0)[0]) + 1
        raise ValueError(f"times: decreasing at row {k} ({array[k - 1]:g} then {array[k]:g}); sort the rows by time")
    return array, origin, unit


def _checked_values(values, length):
    array = floats("values", values)
    array = array[:, None] if array.ndim == 1 else array
    if array.ndim != 2:
        raise ValueError(f"values: shape (T,) or (T, m) is needed, got {array.shape}")
    if len(array) != length:
        raise ValueError(f"values: {length} rows are needed, one per time, got {len(array)}")
    if np.isinf(array).any():
        k = int(np.flatnonzero(np.isinf(array).any(1))[0])
        raise ValueError(f"values: infinite at row {k}; use NaN for a missing entry")
    return array


class Dataset(eqx.Module):
    """A series: times `(T,)` non-decreasing (equal times allowed), values `(T, m)` with NaN for missing, inputs `(T, ...)`.

    Datetimes are stored as numbers of `unit` since `origin` (the first time); numbers are stored as they are.
    Raises ValueError or TypeError naming the argument for unequal lengths, decreasing or non-finite times, infinities,
    no rows, strings and ragged lists.

    >>> Dataset([0, 1, 3], [1.0, float("nan"), 2.0]).values.shape
    (3, 1)
    """

    times: Any
    values: Any
    inputs: Any = None
    origin: Any = eqx.field(static=True, default=None)
    unit: str | None = eqx.field(static=True, default=None)

    def __init__(self, times, values, inputs=None, *, origin=None, unit=None):
        if isinstance(values, Tracer) or isinstance(times, Tracer):
            self.times, self.values, self.inputs, self.origin, self.unit = times, values, inputs, origin, unit
            return
        clock, origin, unit = _checked_times(times, origin, unit)
        array = _checked_values(values, len(clock))
        if inputs is not None:
            inputs = floats("inputs", inputs)
            if len(inputs) != len(clock):
                raise ValueError(f"inputs: {len(clock)} rows are needed, one per time, got {len(inputs)}")
            if not np.isfinite(inputs).all():
                raise ValueError("inputs: not finite; inputs are known exactly, fill the missing ones")
        dtype = jnp.promote_types(array.dtype, jnp.float32) if jax.config.jax_enable_x64 else jnp.float32
        self.times, self.values = jnp.asarray(clock, dtype), jnp.asarray(array, dtype)
        self.inputs = None if inputs is None else jnp.asarray(inputs, dtype)
        self.origin, self.unit = None if origin is None else str(origin), unit

    @classmethod
    def from_pandas(cls, frame, *, value=None, inputs=None, unit="D", origin=None) -> Dataset:
        """A pandas Series or DataFrame whose index holds the times; `value` and `inputs` name columns."""
        names = list(frame.columns) if value is None and hasattr(frame, "columns") else value
        table = frame if names is None else frame[[names] if isinstance(names, str) else names]
        given = None if inputs is None else frame[[inputs] if isinstance(inputs, str) else inputs].to_numpy()
        return cls(frame.index.to_numpy(), table.to_numpy(), given, unit=unit, origin=origin)

    @classmethod
    def from_xarray(cls, array, *, time="time", unit="D", origin=None) -> Dataset:
        """An xarray DataArray with a time dimension first or alone."""
        rest = [name for name in array.dims if name != time]
        return cls(array[time].values, array.transpose(time, *rest).values, unit=unit, origin=origin)

    @classmethod
    def from_csv(cls, path, *, time, value, inputs=None, unit="D", origin=None) -> Dataset:
        """Named columns of a CSV file; empty cells are missing, ISO dates are understood."""
        with open(path, newline="", encoding="utf-8-sig") as file:
            table = list(rows(file, time, value, inputs))
        stamps, values, given = zip(*table, strict=True)
        return cls(clock(stamps), values, None if inputs is None else given, unit=unit, origin=origin)

    @classmethod
    def from_jsonl(cls, path, *, time, value, inputs=None, unit="D", origin=None) -> Dataset:
        """Named fields of a JSON Lines file; null and absent fields are missing (the first line has them all)."""
        return cls.from_csv(path, time=time, value=value, inputs=inputs, unit=unit, origin=origin)

    def __len__(self) -> int:
        return len(self.times)

    def __getitem__(self, index) -> Dataset:
        """A part of the series, by slice, on the same clock."""
        if not isinstance(index, slice):
            raise TypeError(f"index: a slice is needed, got {type(index).__name__}; use .datum(k) for one observation")
        inputs = None if self.inputs is None else self.inputs[index]
        return Dataset(self.times[index], self.values[index], inputs, origin=self.origin, unit=self.unit)

    def datum(self, k) -> Datum:
        """Observation k."""
        return Datum(self.times[k], self.values[k], None if self.inputs is None else self.inputs[k])


def number(cell) -> float:
    """One cell of a text file: empty, null, `NaN` and `NA` are missing."""
    text = "" if cell is None else str(cell).strip()
    if text.lower() in {"", "nan", "na", "null"}:
        return float("nan")
    try:
        return float(text)
    except ValueError as error:
        raise ValueError(f"value: {text!r} is not a number") from error


def stamp(cell) -> float | str:
    """A time cell: a number, or text (an ISO date, which `clock` and `Session` read)."""
    try:
        return float(cell)
    except (TypeError, ValueError):
        return str(cell).strip()


def rows(lines, time: str, value, inputs=None):
    """(time, values, inputs or None) of each row of CSV or JSON Lines, told apart by the first character.

    `value` and `inputs` name one column or several. Raises ValueError naming the line for a column that the first line lacks,
    a row of the wrong length, broken JSON, and cells that are not numbers.
    """
    columns, extra = ([names] if isinstance(names, str) else list(names or ()) for names in (value, inputs))
    for line, row in _records(lines, [time, *columns, *extra]):
        try:
            yield stamp(row[time]), [number(row.get(c)) for c in columns], [number(row.get(c)) for c in extra] or None
        except ValueError as error:
            raise ValueError(f"{error}, on line {line}") from error


def _records(lines, names):
    """(line number, fields by name) of the rows that are not blank."""
    lines = iter(lines)
    first = next((text for text in lines if text.strip()), "")
    table = (_objects if first.lstrip().startswith("{") else _cells)(itertools.chain([first], lines))
    header, start = next(table, []), next(table, None)
    if absent := [name for name in names if header and name not in header]:
        raise ValueError(f"{absent[0]}: no such column; the file has {header}")
    if start is None:
        raise ValueError("data: no rows; at least one observation is needed")
    for line, row in itertools.chain([start], table):
        if row.get(names[0]) is None:
            raise ValueError(f"{names[0]}: no time on line {line}")
        yield line, row


def _objects(lines):
    """The names in the first JSON object, then each object."""
    for line, text in enumerate(lines, 1):
        if not text.strip():
            continue
        try:
            row = json.loads(text)
        except ValueError as error:
            raise ValueError(f"data: line {line} is not JSON: {error}") from error
        if not isinstance(row, dict):
            raise ValueError(f"data: an object with named fields is needed on line {line}, got {text.strip()[:40]}")
        if line == 1:
            yield list(row)
        yield line, row


def _cells(lines):
    """The header of a CSV file, then each row by name."""
    reader = csv.reader(lines)
    header = next(reader, [])
    if header:
        yield header
    for cells in reader:
        if cells and len(cells) != len(header):
            raise ValueError(f"data: {len(header)} cells are needed on line {reader.line_num}, got {len(cells)}")
        if cells:
            yield reader.line_num, dict(zip(header, cells, strict=True))


def clock(cells):
    """Time cells: all numbers, or all ISO datetimes."""
    try:
        return [float(cell) for cell in cells]
    except ValueError:
        pass
    try:
        return np.array(cells, "datetime64[ns]")
    except ValueError as error:
        raise ValueError(f"times: {cells[0]!r} is neither a number nor an ISO date") from error
