"""The clock of a stream: datetimes in, numbers for the algorithm, datetimes out."""

import numpy as np

from filterlearn.clock import datetimes, elapsed, floats, instant, zoned


def _is_number(time) -> bool:
    array = np.asarray(time)
    return array.ndim == 0 and array.dtype.kind in "fiu"


class Clock:
    """Times are numbers; with an `origin`, also datetimes or ISO text, counted in `unit` since then."""

    def __init__(self, origin, unit):
        self.origin, self.unit = None, unit or "D"
        if origin is not None:
            self.origin = f"{instant(origin)}{'Z' if zoned(origin) else ''}"
            elapsed(self.origin, self.origin, self.unit)  # refuses an unknown unit and a missing origin

    def _instant(self, time) -> np.datetime64:
        """A datetime in UTC, or an error."""
        if self.origin is None:
            raise TypeError(f"time: a number is needed, got {time!r}; give Session(origin=..., unit=...) for datetimes")
        try:
            stamp = instant(time)
        except TypeError:
            raise TypeError(f"time: {time!r} is neither a number nor an ISO datetime") from None
        except ValueError:
            raise ValueError(f"time: a datetime between the years 1678 and 2261 is needed, got {time!s}") from None
        if np.isnat(stamp):
            raise ValueError("time: a datetime is missing (NaT); drop that observation")
        if zoned(time) != zoned(self.origin):
            raise ValueError(f"time: {time!s} and the origin {self.origin} must both have a time zone, or neither")
        return stamp

    def number(self, time) -> float:
        """A finite number of units, or an error."""
        given = float(time if _is_number(time) else elapsed(self._instant(time), self.origin, self.unit))
        if not np.isfinite(given):
            raise ValueError(f"time: a finite number is needed, got {given}")
        if self.origin is not None:
            self.stamps(np.asarray([given]))  # refuses what no report could show
        return given

    def stamp(self, time):
        """A time as reports show it: a datetime when there is an origin."""
        if self.origin is None:
            return float(time)
        if not _is_number(time):
            return self._instant(time)
        return datetimes([float(time)], self.origin.removesuffix("Z"), self.unit)[0]

    def stamps(self, numbers: np.ndarray) -> np.ndarray:
        """Times on this clock as reports show them, to the nanosecond."""
        return numbers if self.origin is None else datetimes(numbers, self.origin.removesuffix("Z"), self.unit)


def checked_value(value, shape, bounds=None) -> np.ndarray:
    """Finite numbers or NaN, one for each sensor, within the bounds where there are any."""
    array = np.atleast_1d(floats("value", value))
    if array.shape != shape:
        raise ValueError(f"value: shape {shape} is needed, one entry for each sensor of the model, got {array.shape}")
    if np.count_nonzero(np.isinf(array)):
        raise ValueError(f"value: finite numbers or NaN are needed, got {array.tolist()}")
    if bounds is not None and ((array < bounds[0]) | (array > bounds[1])).any():
        raise ValueError(f"value: {array.tolist()} is outside the bounds {bounds[0].tolist()} to {bounds[1].tolist()}")
    return array


def checked_bounds(bounds):
    """(low, high) as arrays, or None."""
    if bounds is None:
        return None
    low, high = (floats("bounds", each) for each in bounds)
    if not (low < high).all():
        raise ValueError(f"bounds: the lower before the upper are needed, got {low.tolist()} and {high.tolist()}")
    return low, high


def checked_gap(longest) -> float | None:
    """A number above 0, or None."""
    if longest is not None and not longest > 0:
        raise ValueError(f"longest: a gap above 0, in the unit of the times, is needed, got {longest!r}")
    return longest
