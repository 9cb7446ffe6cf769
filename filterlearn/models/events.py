"""Series of events for point processes, and series that carry the datum before."""

import numpy as np

from filterlearn.clock import floats, whole
from filterlearn.data import Dataset
from filterlearn.inputs import AbstractInputs


def fed_back(data) -> Dataset:
    """The series with, as inputs, the values of the datum before (zeros where missing, and at first), then its own inputs.

    For `JumpsAtData`. Raises TypeError for inputs that are functions of time.
    """
    if isinstance(data.inputs, AbstractInputs):
        raise TypeError(f"inputs: rows are needed, got {type(data.inputs).__name__}")
    values = np.nan_to_num(np.asarray(data.values))
    before = np.concatenate([np.zeros_like(values[:1]), values[:-1]])
    inputs = before if data.inputs is None else np.concatenate([before, data.inputs], axis=1)
    return Dataset(data.times, data.values, inputs, origin=data.origin, unit=data.unit)


def event_data(times, until, *, kinds=None, marks=None, number: int = 1, start=0.0, gap=np.inf) -> Dataset:
    """The series of events at strictly increasing `times` `(N,)` in (start, until], as `PointProcess` reads it.

    `kinds` `(N,)` number the events from 0 to `number` - 1, `marks` `(N,)` or `(N, d)` go beside. Rows without an event are
    put at `until`, and between events so that no two rows are further apart than `gap`. Inputs are the values of the row
    before, as of `fed_back`. Raises ValueError for times that do not increase or are outside, and for wrong kinds.

    >>> event_data([0.5, 1.0], 3.0).values.ravel().tolist()
    [1.0, 1.0, 0.0]
    """
    times, number = floats("times", times), whole("number", number, 1)
    inside = times.ndim == 1 and np.all(np.diff(times, prepend=start) > 0) and np.all(times <= until)
    if not inside:
        raise ValueError(f"times: strictly increasing in ({start:g}, {until:g}] are needed, got {times!r}")
    kinds = np.zeros(len(times), int) if kinds is None else np.asarray(kinds)
    if kinds.shape != times.shape or not np.isin(kinds, np.arange(number)).all():
        raise ValueError(f"kinds: {len(times)} whole numbers below number={number} are needed, got {kinds!r}")
    told = np.zeros((len(times), 0)) if marks is None else floats("marks", marks).reshape(len(times), -1)
    values = np.concatenate([kinds[:, None] == np.arange(number), told], axis=1)
    return with_silence(times, values, number, start, until, gap)


def with_silence(times, values, number, start, until, gap=np.inf) -> Dataset:
    """Events and the rows between them that say that there was none."""
    ends = np.concatenate([[start], times, [until]])
    quiet = [
        np.linspace(a, b, int(np.ceil((b - a) / gap)) + 1)[1:-1] for a, b in zip(ends, ends[1:], strict=False) if b - a > gap
    ]
    quiet = np.concatenate([*quiet, ends[-1:] if ends[-1] > ends[-2] else ends[:0]])
    silence = np.where(np.arange(values.shape[1]) < number, 0.0, np.nan) + np.zeros((len(quiet), 1))
    every = np.concatenate([times, quiet])
    order = np.argsort(every, kind="stable")
    return fed_back(Dataset(every[order], np.concatenate([values, silence])[order]))
