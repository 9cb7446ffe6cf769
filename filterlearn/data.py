"""Observations: one (`Datum`), or a stacked series of them (`Dataset`)."""

from __future__ import annotations

import csv
import itertools
import json
from collections.abc import Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from filterlearn.clock import checked_times, floats, instants
from filterlearn.inputs import AbstractInputs, as_inputs, cut


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


def _names(names) -> list:
    """One name or several as a list."""
    return [names] if isinstance(names, str) else list(names or ())


def _column(table, name):
    if name not in table:
        raise ValueError(f"{name}: no such column; the table has {list(table)}")
    return table[name]


def _columns(table, names) -> np.ndarray:
    """Named columns of a pandas table, `(T, m)`."""
    columns = [_column(table, name) for name in _names(names)]
    cells = [c.to_numpy(na_value=np.nan) if c.hasnans else c.to_numpy() for c in columns]
    return np.stack([floats(str(c.name), array) for c, array in zip(columns, cells, strict=True)], axis=1)


def _rows_first(array, time) -> np.ndarray:
    if time not in array.dims:
        raise ValueError(f"{time}: no such dimension; the array has {list(array.dims)}")
    return array.transpose(time, ...).values


def _variables(table, time, names) -> np.ndarray:
    """Named variables of an xarray Dataset side by side, `(T, m)`."""
    parts = [_rows_first(_column(table, name), time) for name in _names(names)]
    return np.concatenate([part[:, None] if part.ndim == 1 else part for part in parts], axis=1)


def _check_apart(given, stored):
    """Times that differ must differ in the precision that they are stored in."""
    lost = (np.diff(given) > 0) & (np.diff(stored) == 0)
    if lost.any():
        k = int(np.flatnonzero(lost)[0]) + 1
        raise ValueError(f"times: row {k} cannot be told from the row before in {stored.dtype}; subtract the first time")


class Dataset(eqx.Module):
    """A series: times `(T,)` non-decreasing (equal times allowed), values `(T, m)` with NaN for missing, and inputs.

    Inputs are rows `(T, ...)`, row k held over (t_k-1, t_k] and at the update by datum k, or a function of time, `Held` or
    `Linear`, read at every substep.

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
            self.times, self.values = jnp.asarray(times), jnp.asarray(values)
            self.inputs, self.origin, self.unit = inputs, origin, unit
            return
        clock, origin, unit = checked_times(times, origin, unit)
        array = _checked_values(values, len(clock))
        dtype = jnp.promote_types(array.dtype, jnp.float32) if jax.config.jax_enable_x64 else jnp.float32
        self.times, self.values = jnp.asarray(clock, dtype), jnp.asarray(array, dtype)
        _check_apart(clock, clock.astype(dtype))
        self.inputs = as_inputs(inputs, dtype, origin=origin, unit=unit)
        if isinstance(self.inputs, AbstractInputs):
            self.inputs.check_covers(clock[0])
        elif inputs is not None and len(self.inputs) != len(clock):
            raise ValueError(f"inputs: {len(clock)} rows are needed, one per time, got {len(self.inputs)}")
        self.origin, self.unit = None if origin is None else str(origin), unit

    @classmethod
    def from_pandas(cls, frame, *, time=None, value=None, inputs=None, unit="D", origin=None) -> Dataset:
        """A pandas Series, or a DataFrame whose columns are named: `time` (None: the index), one or several `value` (None:
        the columns that are left) and `inputs`."""
        table = frame.to_frame() if frame.ndim == 1 else frame
        times = table.index if time is None else _column(table, time)
        rest = [name for name in table.columns if name != time and name not in _names(inputs)]
        values = _columns(table, rest if value is None else value)
        return cls(times.to_numpy(), values, inputs and _columns(table, inputs), unit=unit, origin=origin)

    @classmethod
    def from_xarray(cls, array, *, time="time", value=None, inputs=None, unit="D", origin=None) -> Dataset:
        """An xarray DataArray `(time,)` or `(time, sensor)`; or a Dataset, whose variables `value` and `inputs`, one or
        several, are stacked side by side."""
        if not hasattr(array, "data_vars"):
            values = _rows_first(array, time)
            return cls(array[time].values, values, unit=unit, origin=origin)
        if value is None:
            raise ValueError(f"value: the name of a variable is needed, one of {list(array.data_vars)}")
        values, given = _variables(array, time, value), inputs and _variables(array, time, inputs)
        return cls(array[time].values, values, given, unit=unit, origin=origin)

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
        inputs = cut(self.inputs, index)
        return Dataset(self.times[index], self.values[index], inputs, origin=self.origin, unit=self.unit)

    def datum(self, k) -> Datum:
        """Observation k."""
        return Datum(self.times[k], self.values[k], cut(self.inputs, k))


def checked(data) -> Dataset:
    """A Dataset, or an error that says how to make one."""
    if not isinstance(data, Dataset):
        raise TypeError(f"data: a Dataset is needed, got {type(data).__name__}; use Dataset(times, values)")
    return data


def stacked(data) -> Dataset:
    """Many series of any lengths as one pytree, for `train` and `jax.vmap`: leaves have a row for each series.

    A shorter one ends in missing values at its last time, which change nothing. Raises TypeError for what is no list of
    Datasets and for inputs that are functions of time; ValueError for an empty list, and for inputs of some series only.

    >>> stacked([Dataset([0, 1], [1.0, 2.0]), Dataset([0], [3.0])]).values.shape
    (2, 2, 1)
    """
    if not isinstance(data, Sequence):
        raise TypeError(f"data: a Dataset or a list of them is needed, got {type(data).__name__}")
    series = [checked(each) for each in data]
    if not series:
        raise ValueError("data: no series; give at least one Dataset")
    if len({each.inputs is None for each in series}) > 1:
        raise ValueError("data: some series have inputs and others none; give inputs to all")
    if any(isinstance(each.inputs, AbstractInputs) for each in series):
        raise TypeError("data: inputs of many series are rows, got a function of time; give each series alone")
    longest = max(map(len, series))
    return jax.tree.map(lambda *rows: jnp.stack(rows), *(_padded(each, longest) for each in series))


def _padded(data, length):
    """The series with missing values at the last time."""
    extra = length - len(data)

    def tail(rows, fill):
        return jnp.concatenate([rows, jnp.broadcast_to(fill, (extra, *rows.shape[1:])).astype(rows.dtype)])

    inputs = None if data.inputs is None else tail(data.inputs, data.inputs[-1])
    return Dataset(tail(data.times, data.times[-1]), tail(data.values, jnp.nan), inputs)


def number(cell) -> float:
    """One cell of a text file: empty, null, `NaN` and `NA` are missing."""
    text = "" if cell is None else str(cell).strip()
    if text.lower() in {"", "nan", "na", "null"}:
        return float("nan")
    try:
        return _decimal(text)
    except ValueError as error:
        raise ValueError(f"value: {text!r} is not a number") from error


def _decimal(cell) -> float:
    """A number as text has it: Python also reads `1_000`, and digits of other scripts."""
    if isinstance(cell, bool) or (isinstance(cell, str) and ("_" in cell or not cell.isascii())):
        raise ValueError("not a decimal number")
    return float(cell)


def stamp(cell) -> float | str:
    """A time cell: a number, or text (an ISO date, which `clock` and `Session` read)."""
    try:
        return _decimal(cell)
    except (TypeError, ValueError):
        return str(cell).strip()


def rows(lines, time: str, value, inputs=None):
    """(time, values, inputs or None) of each row of CSV or JSON Lines, told apart by the first character.

    `value` and `inputs` name one column or several. Raises ValueError naming the line for a column that the first line lacks,
    a row of the wrong length, broken JSON, and cells that are not numbers.
    """
    columns, extra = _names(value), _names(inputs)
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
    if twice := [name for name in names if header.count(name) > 1]:
        raise ValueError(f"{twice[0]}: more than one column; the file has {header}")
    if start is None:
        raise ValueError("data: no rows; at least one observation is needed")
    for line, row in itertools.chain([start], table):
        if row.get(names[0]) is None:
            raise ValueError(f"{names[0]}: no time on line {line}")
        yield line, row


def once(pairs) -> dict:
    """The fields of a JSON object, each there once."""
    record = dict(pairs)
    if len(record) < len(pairs):
        raise ValueError("a field is there twice")
    return record


def _objects(lines):
    """The names in the first JSON object, then each object."""
    for line, text in enumerate(lines, 1):
        if not text.strip():
            continue
        try:
            row = json.loads(text, object_pairs_hook=once)
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
        return instants(cells)
