"""What a source of a stream offers: arrivals, each with its place, and an acknowledgement of those that are kept."""

from __future__ import annotations

import abc
import asyncio
import csv
import dataclasses
import json
from collections.abc import AsyncIterator
from typing import Any

from filterlearn.data import number, once, stamp

_LONGEST = 1 << 20  # characters of a line or message


@dataclasses.dataclass(frozen=True)
class Arrival:
    """A datum as a source brought it. `place` says where the source goes on after it, as JSON holds it."""

    place: Any
    time: float | str
    value: list[float]
    inputs: list[float] | None = None
    id: str | int | None = None


@dataclasses.dataclass(frozen=True)
class Malformed:
    """What a source brought and nobody can read: the text, shortened, and why."""

    place: Any
    text: str
    reason: str


class AbstractSource(abc.ABC):
    """Where data come from. Asked for one at a time, so that a slow stream holds the source back."""

    @abc.abstractmethod
    def arrivals(self, place: Any = None) -> AsyncIterator[Arrival | Malformed]:
        """What comes after a place, from the beginning where it is None."""

    async def acknowledge(self, place: Any) -> None:  # noqa: B027
        """All up to this place is in a checkpoint."""

    async def close(self) -> None:  # noqa: B027
        """Lets go of files and connections."""


@dataclasses.dataclass(frozen=True)
class Columns:
    """The names of a record's fields: `time`, one or several `value` and `inputs`, and `id` where there is one."""

    time: str
    value: str | list[str]
    inputs: str | list[str] | None = None
    id: str | None = None

    @property
    def names(self) -> list[str]:
        """All of them."""
        given = (self.time, self.value, self.inputs, self.id)
        return [name for each in given if each is not None for name in ([each] if isinstance(each, str) else each)]

    def arrival(self, record: Any, place: Any) -> Arrival | Malformed:
        """A record by name as a datum; empty, null and absent values are missing."""
        try:
            if not isinstance(record, dict):
                raise ValueError(f"an object with named fields is needed, got {type(record).__name__}")
            inputs = None if self.inputs is None else _numbers(record, self.inputs)
            return Arrival(place, _time(record.get(self.time)), _numbers(record, self.value), inputs, self._id(record))
        except (ValueError, OverflowError) as error:
            return Malformed(place, str(record)[:200], str(error))

    def _id(self, record):
        given = None if self.id is None else record.get(self.id)
        if self.id is not None and (not isinstance(given, str | int) or isinstance(given, bool)):
            raise ValueError(f"id: text or a whole number is needed, got {given!r}")
        return given


def _time(cell):
    if cell is None or isinstance(cell, bool | list | dict):
        raise ValueError(f"time: a number or an ISO datetime is needed, got {str(cell)[:40]!r}")
    return stamp(cell)


def _numbers(record, names) -> list[float]:
    return [number(record.get(name)) for name in ([names] if isinstance(names, str) else names)]


def read_json(text: str | bytes, columns: Columns, place: Any) -> Arrival | Malformed:
    """A JSON object as a datum."""
    if len(text) > _LONGEST:
        return Malformed(place, str(text[:200]), f"longer than {_LONGEST} characters")
    try:
        return columns.arrival(json.loads(text, object_pairs_hook=once), place)
    except (ValueError, RecursionError) as error:  # broken text and broken bytes are ValueErrors
        return Malformed(place, str(text[:200]), f"not JSON: {str(error)[:80]}")


def read_csv(text: str, header: list[str], columns: Columns, place: Any) -> Arrival | Malformed:
    """A line of CSV as a datum."""
    try:
        cells = next(csv.reader([text], strict=True), [])
    except csv.Error as error:
        return Malformed(place, text[:200], f"not CSV: {str(error)[:80]}")
    if len(cells) != len(header):
        return Malformed(place, text[:200], f"{len(header)} cells are needed, got {len(cells)}")
    return columns.arrival(dict(zip(header, cells, strict=True)), place)


def header_of(text: str, columns: Columns) -> list[str] | None:
    """The names in the first line of CSV, None where it is JSON. Raises ValueError for a column that is not there."""
    if text.lstrip().startswith("{"):
        return None
    try:
        header = next(csv.reader([text]), [])
    except csv.Error as error:
        raise ValueError(f"the first line is not CSV: {str(error)[:80]}") from None
    for name in columns.names:
        if (times := header.count(name)) != 1:
            raise ValueError(f"{name}: {'no such column' if not times else 'more than one column'}; the source has {header}")
    return header


class Backoff:
    """Pauses before a connection is tried again: `first` seconds, twice as long each time, at most `longest`."""

    def __init__(self, first: float = 0.1, longest: float = 30.0):
        self.first, self.longest, self._next = first, longest, first

    def reset(self) -> None:
        """The connection is there."""
        self._next = self.first

    async def pause(self) -> None:
        """Until the next try."""
        await asyncio.sleep(self._next)
        self._next = min(2 * self._next, self.longest)
