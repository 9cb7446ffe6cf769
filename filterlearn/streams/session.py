"""A stream: one compiled step, a clock, a counter and a key."""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from filterlearn import protocol
from filterlearn.clock import whole
from filterlearn.diagnostics.log import Report
from filterlearn.inputs import AbstractInputs, as_inputs, as_row
from filterlearn.streams import resume
from filterlearn.streams.clock import Clock, checked_bounds, checked_gap, checked_value
from filterlearn.streams.engine import Engine
from filterlearn.streams.remembered import Remembered
from filterlearn.streams.troubles import AbstractPolicy, KeepLast

_STEPS = 10_000  # that a gap may be parted into
_BLOCK = 128  # data in one scan of `observe_many`
_DUPLICATE = np.asarray(protocol.DUPLICATE)


def _words(inputs) -> str:
    """The kind and the shape of inputs."""
    if not isinstance(inputs, AbstractInputs):
        return "none" if inputs is None else f"shape {inputs.shape}"
    rows = getattr(inputs, "values", None)
    return f"{type(inputs).__name__}{'' if rows is None else f' of shape {rows.shape}'}"


class Session:
    """Streams observations into an algorithm, one compiled step each.

    Datum k uses the key fold_in(key, k), so a stream equals `run` up to rounding; resumed from a checkpoint, it equals an
    uninterrupted one to the bit on one machine and version. A belief that stops being finite is not kept: the last good one
    stays and the report is flagged; so it is for a datum earlier than the belief, which is flagged late. Wrong arguments are
    refused by name before the compiled step, and change nothing.

    With `replay=n` a late datum takes its place: the belief before it is taken up again and the data after it, of which the
    last n are kept, are absorbed anew, with random numbers of their own. The report's evidence is that of the datum given all
    others, so that the sum over reports stays the evidence of all data; what was predicted is from the data before. A datum
    before the oldest belief kept is flagged late. Costs n beliefs in memory and checkpoints, and up to n + 1 steps for one
    that is late; inputs must be arrays.

    A gap longer than `longest` is predicted in equal steps of at most that, and one of more than 10,000 such is refused.
    Values outside `bounds=(low, high)`, numbers or one for each sensor, are refused. With `remember=n` a datum whose `id` is
    one of the last n changes nothing and is flagged duplicate. `policy` says what becomes of a belief that was lost or has
    collapsed: `KeepLast()` where it is None, `Restart()`, `Widen(factor)` or `Stop()`.

    Where an algorithm asks for more room (`history full`, `evidence noisy`), a larger `.algorithm` takes its place after the
    datum, compiled anew; data kept for replay are then let go. A checkpoint is still loaded with the algorithm given first.

    Times are numbers; with an `origin`, also datetimes or ISO text, counted in `unit` (s, m, h, D or W; days unless given).
    `.belief`, `.count` of data seen, `.time` of the last one, `.counts` of each flag, and `.meta` of the checkpoint may be
    read at any time. Raises TypeError for an origin that is no datetime, or a policy that has no answer for this belief, and
    ValueError for an unknown unit and numbers out of range.
    """

    def __init__(
        self,
        algorithm,
        problem,
        *,
        key,
        origin=None,
        unit=None,
        replay: int = 0,
        longest: float | None = None,
        bounds=None,
        remember: int = 0,
        policy: AbstractPolicy | None = None,
    ):
        self._clock, self.bounds = Clock(origin, unit), checked_bounds(bounds)
        self._ids = Remembered(whole("remember", remember, 0))
        length, gap = whole("replay", replay, 0), checked_gap(longest)
        self._engine = Engine(algorithm, problem, key, length, gap, policy or KeepLast())
        self.time, self.meta = None, {}
        self._shapes = None  # of a datum, and of its inputs in words

    algorithm = property(
        lambda self: self._engine.algorithm, doc="The algorithm now, a larger one where it has asked for it."
    )
    problem = property(lambda self: self._engine.problem, doc="The model or family.")
    key = property(lambda self: self._engine.key, doc="The key of the stream.")
    belief = property(lambda self: self._engine.belief, doc="What is believed now.")
    count = property(lambda self: self._engine.count, doc="How many data were seen, without duplicates.")
    counts = property(lambda self: self._engine.counts, doc="How often each flag was raised.")
    policy = property(lambda self: self._engine.policy, doc="What becomes of a belief in trouble.")
    replay = property(lambda self: self._engine.replay.length, doc="How many data are kept for late ones.")
    longest = property(lambda self: self._engine.longest, doc="The gap beyond which a prediction is parted, or None.")
    remember = property(lambda self: self._ids.size, doc="How many ids are kept for duplicates.")
    origin = property(lambda self: self._clock.origin, doc="What datetimes are counted from, as ISO text, or None.")
    unit = property(lambda self: self._clock.unit, doc="What they are counted in.")

    def _checked_time(self, time, before) -> float:
        """A time on the session's clock, told apart from the one before in the precision of the belief."""
        given = self._clock.number(time)
        if before is not None and given > before and self._engine.dtype.type(given) == self._engine.dtype.type(before):
            raise ValueError(f"time: {given} cannot be told from {before} in {self._engine.dtype}; count from a later origin")
        if self.longest and before is not None and given - before > _STEPS * self.longest:
            raise ValueError(f"time: {given} is more than {_STEPS} times the longest gap, {self.longest:g}, after {before}")
        return given

    def _given(self, inputs):
        """Inputs as the step takes them."""
        if inputs is None:
            return None
        if not isinstance(inputs, AbstractInputs):
            return as_row(inputs, self._engine.dtype)
        if self.replay:
            raise TypeError(f"inputs: arrays are needed for replay, got {type(inputs).__name__}; give replay=0")
        return as_inputs(inputs, self._engine.dtype, origin=self.origin, unit=self.unit)

    def _checked_inputs(self, inputs, time):
        """The same, known since the last datum."""
        given = self._given(inputs)
        if isinstance(given, AbstractInputs):
            given.check_covers(time if self.time is None else min(time, self.time))
        return given

    def _checked_shapes(self, inputs):
        """(shape of a datum, inputs in words): those of the model, and of the first datum, or an error."""
        if self._shapes is None:
            given = None if inputs is None else jax.tree.map(jnp.asarray, inputs)
            return protocol.sensors(self.problem, self.belief, jnp.zeros((), self._engine.dtype), given), _words(inputs)
        if _words(inputs) != self._shapes[1]:
            raise ValueError(f"inputs: {self._shapes[1]} needed, as with the first datum, got {_words(inputs)}")
        return self._shapes

    def compile(self, inputs=None) -> None:
        """Compiles the step before the first datum, which then takes no longer than the others; changes nothing.

        `inputs`, for a model that reads them, is an example of what each datum will bring.
        """
        given = self._given(inputs)
        shapes = self._checked_shapes(given)
        time = jnp.where(jnp.isinf(self.belief.time), 0.0, self.belief.time)
        self._engine.step(time, np.full(shapes[0], np.nan), given)
        self._shapes = shapes

    def observe(self, time, value, inputs=None, id=None) -> Report:
        """Absorbs one observation; NaN entries are missing. `inputs` holds since the datum before, or is a function of time
        (`Held`, `Linear`); `id`, text or a whole number, tells duplicates.

        Raises TypeError or ValueError naming the argument for infinities, shapes other than the model's or the first
        datum's, values out of bounds, and times that are not finite, not understood, or not told apart; the belief is then
        untouched.
        """
        now = self._checked_time(time, self.time)
        given = self._checked_inputs(inputs, now)
        shapes = self._checked_shapes(given)
        array = checked_value(value, shapes[0], self.bounds)
        if self._seen(id):
            return self._report(time, array, *self._duplicate(now, array, given))
        info, told = self._engine.absorb(now, array, given)
        self._shapes = shapes
        if id is not None:
            self._ids.add(id)
        return self._noted(time, now, array, info, told)

    def _seen(self, id) -> bool:
        """Whether this id is one of the last."""
        if id is None:
            return False
        if not self.remember or not isinstance(id, str | int):
            raise ValueError(f"id: text or a whole number, and Session(remember=...), are needed, got {id!r}")
        return id in self._ids

    def _duplicate(self, now, value, inputs):
        """What a report tells of a datum that was there before."""
        self.counts.update(protocol.words(protocol.DUPLICATE))
        info, told = self._engine.now(now, value, inputs)
        return eqx.tree_at(lambda i: i.flags, info, _DUPLICATE), told

    def _noted(self, time, now, value, info, told) -> Report:
        self.time = now if self.time is None else max(now, self.time)
        return self._report(time, value, info, told)

    def _report(self, time, value, info, told) -> Report:
        flags, (mean, covariance, named) = protocol.words(int(info.flags)), told
        return Report(self._clock.stamp(time), value, mean, covariance, float(info.log_evidence), named, flags, info)

    def observe_many(self, times, values, inputs=None) -> list[Report]:
        """Absorbs observations in order, 128 in one compiled scan where none of them needs more care: as `observe` does one
        by one, up to rounding. `inputs` are rows beside them, or a function of time.

        Raises as `observe` does, naming the row, before any of them is absorbed.
        """
        rows, reports = self._checked_rows(times, values, inputs), []
        while rows:
            block, rows = rows[:_BLOCK], rows[_BLOCK:]
            _, *columns = zip(*block, strict=True)
            parts = self._engine.sweep(*columns) if len(block) == _BLOCK else None
            parts = parts or (self._engine.absorb(*each) for _, *each in block)
            reports += [self._noted(*row[:3], *part) for row, part in zip(block, parts, strict=True)]
        return reports

    def _checked_rows(self, times, values, inputs):
        """(time as given, time, value, inputs) of each row, or an error that names it."""
        one = inputs is None or isinstance(inputs, AbstractInputs)
        given = [inputs] * len(times) if one else inputs
        if not len(times) == len(values) == len(given):
            raise ValueError(f"values: {len(times)} rows are needed, one for each time, got {len(values)} and {len(given)}")
        rows, before = [], self.time
        for k, (time, value, each) in enumerate(zip(times, values, given, strict=True)):
            try:
                now = self._checked_time(time, before)
                own = self._checked_inputs(each, now)
                self._shapes = self._checked_shapes(own)
                rows.append((time, now, checked_value(value, self._shapes[0], self.bounds), own))
            except (TypeError, ValueError) as error:
                raise type(error)(f"{error}, in row {k}") from error
            before = now if before is None else max(now, before)
        return rows

    def forecast(self, times, *, inputs=None, draws: int = 1000) -> protocol.Forecast:
        """Draws of the states and observations at later times; the stream's own noise is not touched.

        Raises ValueError for times that decrease or lie before the belief, and for inputs that are not one row per time.
        """
        clock = np.array([self._clock.number(time) for time in times])
        if not len(clock) or (np.diff(clock, prepend=float(self.belief.time)) < 0).any():
            raise ValueError(f"times: not decreasing, from {float(self.belief.time):g} on, are needed, got {clock.tolist()}")
        given = as_inputs(inputs, self._engine.dtype, origin=self.origin, unit=self.unit)
        if given is not None and not isinstance(given, AbstractInputs) and len(given) != len(clock):
            raise ValueError(f"inputs: {len(clock)} rows are needed, one per time, got {len(given)}")
        key = self._engine.key_of(2**31 - 1)
        return protocol.forecast(self.algorithm, self.problem, self.belief, clock, inputs=given, key=key, draws=draws)

    def stamp(self, time):
        """A time as reports show it: a datetime, in UTC, where there is an origin."""
        return self._clock.stamp(time)

    def going_on(self, belief, count: int, time: float | None) -> Session:
        """This session with a belief, after a number of data of which the last was at a time."""
        self._engine.belief, self._engine.count, self.time = belief, count, time
        return self

    def rebuilt(self, belief, rows) -> None:
        """Goes on from another belief, of a time before the last data, after those `rows` (time as a number, value, inputs),
        the last that were absorbed; the counter stays."""
        engine = self._engine
        engine.belief, engine.count = belief, engine.count - len(rows)
        for time, value, inputs in rows:
            engine.absorb(time, value, inputs)

    def save(self, path, *, keep: int = 1, **meta) -> None:
        """Writes a checkpoint, atomically: the belief, the clock, the counter, the key and `meta`, which JSON must hold. The
        `keep - 1` before it stay as `path.1`, `path.2`, and so on, the youngest first.

        Raises TypeError naming `meta` when JSON does not hold it, and ValueError for a `keep` below 1.
        """
        resume.save(self, path, whole("keep", keep, 1), meta)

    @classmethod
    def load(cls, path, algorithm, problem, *, policy: AbstractPolicy | None = None) -> Session:
        """A session that goes on from a checkpoint.

        Raises FileNotFoundError, or ValueError naming the file when it is damaged or of another kind, and the leaf when the
        model, the algorithm or the policy is another one.
        """
        return resume.load(cls, path, algorithm, problem, policy)
