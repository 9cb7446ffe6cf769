"""Numbers and times as arrays, or an error that names the argument; datetimes as numbers on a clock."""

import numbers
import re
from datetime import UTC, datetime

import numpy as np
from jax.core import Tracer

_ZONE = re.compile(r"(Z|[+-]\d\d:?\d\d)$")
_DATE = re.compile(r"\d{4}(-|$)|(nat)?$", re.IGNORECASE)  # how ISO text begins; numpy reads "now" and "20200101", a year, too
_LARGEST = 2.0**63  # nanoseconds of a datetime
_TO_SECONDS = {"s": 1.0, "m": 60.0, "h": 3600.0, "D": 86400.0, "W": 604800.0}


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


def whole(name: str, given, least: int) -> int:
    """`given`, or an error that names the argument unless it is a whole number of at least `least`."""
    if not isinstance(given, int) or given < least:
        raise ValueError(f"{name}: a whole number of at least {least} is needed, got {given!r}")
    return given


def instant(given) -> np.datetime64:
    """A datetime, or ISO text; one with a time zone is turned into UTC. Raises TypeError for what is neither, and ValueError
    outside the years 1678 to 2261, which 64 bits of nanoseconds hold.

    >>> instant("2020-01-01T01:00+01:00")
    np.datetime64('2020-01-01T00:00:00.000000000')
    """
    try:
        if isinstance(given, str) and zoned(given):
            given = datetime.fromisoformat(given.strip())
        if zoned(given):
            given = given.astimezone(UTC).replace(tzinfo=None)
        nanoseconds = getattr(given, "to_datetime64", None)  # pandas
        whole = nanoseconds() if nanoseconds else given
        if isinstance(whole, str) and not _DATE.match(whole):
            raise ValueError("not ISO")
        fine, coarse = np.datetime64(whole, "ns"), np.datetime64(whole, "s")
    except (ValueError, TypeError, OverflowError) as error:
        raise TypeError(f"times: {given!r} is neither a number nor an ISO datetime") from error
    return _held(fine, coarse)


def _held(fine, coarse):
    """Datetimes to the nanosecond, or an error where they are not those to the second."""
    if (abs(fine.astype("datetime64[s]") - coarse) > np.timedelta64(1, "s")).any():
        raise ValueError("times: datetimes between the years 1678 and 2261 are needed")
    return fine


def zoned(given) -> bool:
    """Whether a datetime, or ISO text, has a time zone."""
    if isinstance(given, str):
        return _ZONE.search(given.strip(), 10) is not None
    return isinstance(given, datetime) and given.tzinfo is not None


def instants(times) -> np.ndarray:
    """Datetimes of any kind as UTC without a time zone; all of them have one, or none."""
    array = np.asarray(times)
    if array.dtype.kind == "M":
        return _held(array.astype("datetime64[ns]"), array.astype("datetime64[s]"))
    if len({zoned(each) for each in array.flat if isinstance(each, datetime | str) and each == each}) > 1:
        raise ValueError("times: some have a time zone and some have none; give it to all of them")
    return np.array([instant(each) for each in array.flat], "datetime64[ns]").reshape(array.shape)


def elapsed(times, origin, unit: str) -> np.ndarray | np.float64:
    """Datetimes as numbers of `unit` since `origin`."""
    if unit not in _TO_SECONDS:
        raise ValueError(f"unit: one of {sorted(_TO_SECONDS)} is needed, got {unit!r}")
    late, early = instants(times), instant(origin)
    if np.isnat(late).any() or np.isnat(early):
        raise ValueError("times: a datetime is missing (NaT); drop or fill that row")
    if (abs(late.astype(float) - early.astype(float)) >= _LARGEST).any():
        raise ValueError(f"times: datetimes within 292 years of the origin {origin} are needed")
    delta = late - early
    return delta.astype("timedelta64[ns]").astype(np.float64) / 1e9 / _TO_SECONDS[unit]


def datetimes(times, origin, unit: str) -> np.ndarray:
    """Numbers of `unit` since `origin` as datetimes, to the nanosecond. Raises ValueError for those that are none."""
    nanoseconds = np.round(np.asarray(times, np.float64) * _TO_SECONDS[unit] * 1e9)
    if (abs(nanoseconds + float(np.datetime64(origin, "ns").astype(int))) >= _LARGEST).any():
        raise ValueError(f"times: {np.max(abs(times)):g} {unit} from {origin} is not between the years 1678 and 2261")
    return np.datetime64(origin, "ns") + nanoseconds.astype("timedelta64[ns]")


def checked_times(times, origin, unit):
    """(numbers, origin, unit) of times that are numbers or datetimes, finite and not decreasing."""
    array = np.asarray(times)
    if array.dtype.kind == "M" or (array.dtype == object and len(array) and not isinstance(array[0], (numbers.Number, list))):
        array = instants(array)
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
