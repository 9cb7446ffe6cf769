"""Many independent streams of one family in one compiled step."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from filterlearn import protocol
from filterlearn.clock import whole
from filterlearn.inputs import as_row
from filterlearn.numerics.leaves import divided
from filterlearn.streams import checkpoint, resume
from filterlearn.streams.clock import Clock, checked_value
from filterlearn.streams.parallel import begun, placed, renewed, stepped
from filterlearn.streams.reports import Reports
from filterlearn.streams.session import Session

_NEVER = -np.inf


class Fleet:
    """Up to `size` independent series, each with a belief, a clock, a counter and a key of its own, in one compiled step.

    Series come (`add`) and go (`remove`) without another compilation: those without a datum are masked. The series that
    came as number s (from 0) is the `Session` with the key fold_in(key, s), up to rounding: late data and lost beliefs are
    flagged and change nothing. One whose algorithm asks for more room is flagged, and stays as it is.

    With a `mesh` of devices the series are parted over its first axis, whose length must divide `size`; nothing passes
    between the parts. Times are numbers; with an `origin`, also datetimes or ISO text, counted in `unit`.

    Raises ValueError for a size that the devices do not divide, and as `Session` does.
    """

    def __init__(self, algorithm, problem, size: int, *, key, origin=None, unit=None, mesh=None):
        self.algorithm, self.problem, self.key, self.size = algorithm, problem, key, whole("size", size, 1)
        if mesh is not None and size % (parts := mesh.shape[mesh.axis_names[0]]):
            raise ValueError(f"size: a multiple of the {parts} devices is needed, got {size}")
        self._clock, self._mesh = Clock(origin, unit), mesh
        arrays, form = divided((algorithm, problem))
        self._arrays, self._form = jax.device_put(arrays), (form, str(jax.random.key_impl(key)))
        self._keys = np.repeat(np.asarray(jax.random.key_data(key))[None], size, axis=0)
        self._slots, self.came, self.meta = {}, 0, {}
        self._counts, self._times = np.zeros(size, int), np.full(size, _NEVER)
        self.beliefs = placed(begun(self._form)(self._arrays, self._keys), mesh)
        self._dtype, self._shape = self.beliefs.time.dtype, ()  # of a datum, once there was one

    origin = property(lambda self: self._clock.origin, doc="What datetimes are counted from, as ISO text, or None.")
    unit = property(lambda self: self._clock.unit, doc="What they are counted in.")
    names = property(lambda self: tuple(self._slots), doc="The series that are here.")

    def __len__(self) -> int:
        return len(self._slots)

    def count(self, name) -> int:
        """How many data of a series were seen."""
        return int(self._counts[self._places([name])[0]])

    def belief(self, name):
        """What is believed of one series."""
        slot = self._places([name])[0]
        return jax.tree.map(lambda leaf: leaf[slot], self.beliefs)

    def _places(self, names) -> np.ndarray:
        """Where these stand."""
        try:
            return np.array([self._slots[name] for name in names], int)
        except KeyError as error:
            raise ValueError(f"names: {error.args[0]!r} is not in the fleet; add it first") from None

    def _free(self, names) -> list[int]:
        """Places for series that begin, or an error."""
        room = self.size - len(self)
        if here := [name for name in names if name in self._slots]:
            raise ValueError(f"names: {here[0]!r} is in the fleet already; remove it first")
        if len(names) > room or len(set(names)) < len(names):
            raise ValueError(f"names: at most {room} different ones are needed, as many as there are free places")
        taken = set(self._slots.values())
        return [slot for slot in range(self.size) if slot not in taken][: len(names)]

    def add(self, names) -> None:
        """Series that begin. Raises ValueError for a name that is here, and where there is no room."""
        slots = self._free(names)
        self._slots |= dict(zip(names, slots, strict=True))
        series = self.came + jnp.arange(len(names))
        self._keys[slots] = jax.random.key_data(jax.vmap(lambda s: jax.random.fold_in(self.key, s))(series))
        self._counts[slots], self._times[slots], self.came = 0, _NEVER, self.came + len(names)
        mask = np.isin(np.arange(self.size), slots)
        self.beliefs = placed(renewed(self._form)(self._arrays, self.beliefs, self._keys, mask), self._mesh)

    def remove(self, names) -> None:
        """Series that end; their places are free. Raises ValueError for one that is not here."""
        self._places(names)
        for name in names:
            del self._slots[name]

    def observe(self, names, times, values, inputs=None) -> Reports:
        """One datum of each of these series; the others stay as they are. `inputs` are rows beside the values.

        A time or value that a session would refuse is told in `.refused` of the `Reports`, and the other data are absorbed.
        Raises ValueError for a name that is not here or is there twice, and for columns of unequal lengths.
        """
        slots = self._places(names)
        if len(set(names)) < len(names):
            raise ValueError("names: one is there twice; give its data one after the other")
        if not len(names) == len(times) == len(values) == len(names if inputs is None else inputs):
            raise ValueError(f"values: {len(names)} rows of times, values and inputs are needed, one for each name")
        given = None if inputs is None else as_row(inputs, self._dtype)
        clock, rows, refused = self._checked(times, values, None if given is None or not len(given) else given[0])
        good = np.array([k for k in range(len(names)) if k not in refused], int)
        told = self._stepped(slots[good], clock[good], rows[good], None if given is None else given[good])
        stamps = self._clock.stamps(clock[good])
        why = {names[k]: reason for k, reason in refused.items()}
        return Reports.of([names[k] for k in good], stamps, rows[good], np.asarray(told.numbers)[slots[good]], told.form, why)

    def _stepped(self, slots, clock, rows, given):
        """The compiled step of the series in these places, each at its own row of the whole."""
        table = np.full((self.size, 1 + rows.shape[1]), np.nan, self._dtype)
        table[:, 0] = np.where(np.isfinite(self._times), self._times, 0.0)
        table[slots] = np.column_stack([clock, rows])
        wide = None if given is None else np.zeros((self.size, *given.shape[1:]), self._dtype)
        if wide is not None:
            wide[slots] = given
        mask = np.isin(np.arange(self.size), slots)
        columns = (self._counts + 1, table, wide, self._keys, mask)
        self.beliefs, told = stepped(self._form, self._mesh)(self._arrays, self.beliefs, *columns)
        self._counts[slots] += 1
        self._times[slots] = np.maximum(self._times[slots], clock)
        return told

    def _checked(self, times, values, inputs):
        """(times as numbers, values `(k, m)`, why row k is refused)."""
        if not self._shape:
            one = jax.tree.map(lambda leaf: leaf[0], self.beliefs)
            self._shape = protocol.sensors(self.problem, one, jnp.zeros((), self._dtype), inputs)
        clock, rows, wrong = self._as_tables(times, values)
        refused = {}
        for k in np.flatnonzero(wrong):
            try:
                clock[k], rows[k] = self._clock.number(times[k]), checked_value(values[k], self._shape)
            except (TypeError, ValueError) as error:
                refused[int(k)] = str(error)
        return clock, rows, refused

    def _as_tables(self, times, values):
        """(times, values, the rows that must be looked at one by one): those that are not numbers of the right shape."""
        size, clock = len(times), np.asarray(times)
        try:
            rows = np.asarray(values)
        except ValueError:  # of unequal lengths
            rows = np.empty(0, object)
        if clock.dtype.kind not in "fiu" or rows.dtype.kind not in "fiu" or rows.shape != (size, *self._shape):
            return np.zeros(size), np.full((size, *self._shape), np.nan), np.ones(size, bool)
        return clock.astype(float), rows.astype(float), ~np.isfinite(clock) | np.isinf(rows).any(axis=1)

    def session(self, name) -> Session:
        """One series as a `Session` that goes on alone; the fleet keeps its own."""
        slot = self._places([name])[0]
        key = jax.random.wrap_key_data(jnp.asarray(self._keys[slot]), impl=self._form[1])
        session = Session(self.algorithm, self.problem, key=key, origin=self.origin, unit=self.unit)
        return session.going_on(self.belief(name), *self._series(name)[2:])

    def save(self, path, *, keep: int = 1, **meta) -> None:
        """A checkpoint of all series, atomically, as `Session.save`."""
        series = [self._series(name) for name in self._slots]
        kept: dict = {"series": series, "came": self.came, "size": self.size, "origin": self.origin, "unit": self.unit}
        kept |= {"form": resume.form_of(self.algorithm, self.problem), "version": resume.own_version(), "meta": meta}
        checkpoint.save(path, self._tree(), {**kept, "key": self._form[1]}, whole("keep", keep, 1))

    def _series(self, name):
        """Name, place, count and time of the last datum, as JSON holds them."""
        slot = self._slots[name]
        return name, slot, int(self._counts[slot]), None if np.isinf(self._times[slot]) else float(self._times[slot])

    def _tree(self):
        """What of a checkpoint is arrays."""
        return self.beliefs, jnp.asarray(self._keys), jax.random.key_data(self.key)

    @classmethod
    def load(cls, path, algorithm, problem, *, mesh=None) -> Fleet:
        """A fleet that goes on from a checkpoint, on these devices. Raises as `Session.load` does."""
        kept = checkpoint.header(path)
        resume.check_form(path, kept, resume.form_of(algorithm, problem))
        own, kind = {name: kept[name] for name in ("size", "origin", "unit")}, kept["key"]
        fleet = cls(algorithm, problem, **own, key=jax.random.key(0, impl=kind), mesh=mesh)
        (beliefs, keys, data), _ = checkpoint.load(path, fleet._tree())
        fleet.beliefs, fleet._keys, fleet.key = (
            placed(beliefs, mesh),
            np.array(keys),
            jax.random.wrap_key_data(data, impl=kind),
        )
        for name, slot, count, time in kept["series"]:
            fleet._slots[name], fleet._counts[slot] = slot, count
            fleet._times[slot] = _NEVER if time is None else time
        fleet.came, fleet.meta = kept["came"], kept["meta"]
        return fleet
