"""A stream: one compiled step, a clock, a counter and a key."""

from __future__ import annotations

import operator
from functools import reduce

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from filterlearn import protocol
from filterlearn.clock import datetimes, elapsed, floats, instant, whole, zoned
from filterlearn.diagnostics.log import Report
from filterlearn.inputs import AbstractInputs, as_inputs
from filterlearn.numerics.leaves import divided
from filterlearn.streams import checkpoint
from filterlearn.streams.compiled import REFUSED, compiled, enlarged, start
from filterlearn.streams.replay import Replay, entry, like

_REPLAYED = 2**31 - 2  # folded into the keys of replays
_GROWN = 2**31 - 3  # and of what makes beliefs larger


def _kept(info) -> bool:
    """Whether the belief after the datum took the place of the one before."""
    return int(info.flags) & (REFUSED | protocol.LATE) == 0


def _words(inputs) -> str:
    """The kind and the shape of inputs."""
    if not isinstance(inputs, AbstractInputs):
        return "none" if inputs is None else f"shape {inputs.shape}"
    rows = getattr(inputs, "values", None)
    return f"{type(inputs).__name__}{'' if rows is None else f' of shape {rows.shape}'}"


def _is_number(time) -> bool:
    array = np.asarray(time)
    return array.ndim == 0 and array.dtype.kind in "fiu"


def _checked_value(value, shape) -> np.ndarray:
    """Finite numbers or NaN, one for each sensor."""
    array = np.atleast_1d(floats("value", value))
    if array.shape != shape:
        raise ValueError(f"value: shape {shape} is needed, one entry for each sensor of the model, got {array.shape}")
    if np.isinf(array).any():
        raise ValueError(f"value: finite numbers or NaN are needed, got {array.tolist()}")
    return array


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

    Where an algorithm asks for more room (`history full`, `evidence noisy`), a larger `.algorithm` takes its place after the
    datum, compiled anew; data kept for replay are then let go. A checkpoint is still loaded with the algorithm given first.

    Times are numbers; with an `origin`, also datetimes or ISO text, counted in `unit` (s, m, h, D or W; days unless given).
    `.belief`, `.count` of data seen, `.time` of the last one, and `.meta` of the checkpoint may be read at any time. Raises
    TypeError for an origin that is no datetime, and ValueError for an unknown unit or a `replay` that is no whole number.
    """

    def __init__(self, algorithm, problem, *, key, origin=None, unit=None, replay: int = 0):
        self.algorithm, self.problem, self.key = algorithm, problem, key
        self._replay = Replay(whole("replay", replay, 0))
        self.origin, self.unit = None, unit or "D"
        if origin is not None:
            self.origin = f"{instant(origin)}{'Z' if zoned(origin) else ''}"
            elapsed(self.origin, self.origin, self.unit)  # refuses an unknown unit and a missing origin
        self.belief = start(algorithm, problem, key)
        self._use(algorithm)
        self._grown = []  # the flags that the algorithm was made larger for
        self.count, self.time, self.meta = 0, None, {}
        self._shapes = None  # of a datum, and of its inputs in words

    def _use(self, algorithm):
        """From now on with this algorithm."""
        self.algorithm = algorithm
        self._arrays, rest = divided((algorithm, self.problem))
        self._compiled = compiled(rest)

    def _grow(self, bits):
        """A larger algorithm, where there is one for these flags; what was kept for late data is let go."""
        larger = self.algorithm.larger(bits)
        if larger is self.algorithm:
            return
        key = jax.random.fold_in(jax.random.fold_in(self.key, self.count), _GROWN)
        self.belief = enlarged(larger, self.problem, self.belief, bits, key)
        self._use(larger)
        self._grown.append(bits)
        self._replay = Replay(self.replay)

    @property
    def replay(self) -> int:
        """How many data are kept for late ones."""
        return self._replay.length

    @property
    def _dtype(self):
        return self.belief.time.dtype

    def _instant(self, time) -> np.datetime64:
        """A datetime in UTC, or an error."""
        if self.origin is None:
            raise TypeError(f"time: a number is needed, got {time!r}; give Session(origin=..., unit=...) for datetimes")
        try:
            stamp = instant(time)
        except TypeError:
            raise TypeError(f"time: {time!r} is neither a number nor an ISO datetime") from None
        if np.isnat(stamp):
            raise ValueError("time: a datetime is missing (NaT); drop that observation")
        if zoned(time) != zoned(self.origin):
            raise ValueError(f"time: {time!s} and the origin {self.origin} must both have a time zone, or neither")
        return stamp

    def _clock(self, time) -> float:
        """A time on the session's clock, or an error."""
        given = float(time if _is_number(time) else elapsed(self._instant(time), self.origin, self.unit))
        if not np.isfinite(given):
            raise ValueError(f"time: a finite number is needed, got {given}")
        return given

    def _stamp(self, time):
        """A time as reports show it: a datetime when there is an origin."""
        if self.origin is None:
            return float(time)
        if not _is_number(time):
            return self._instant(time)
        return datetimes([float(time)], self.origin.removesuffix("Z"), self.unit)[0]

    def _checked_time(self, time) -> float:
        """The same, told apart from the time before in the precision of the belief."""
        given, before = self._clock(time), self.time
        if before is not None and given > before and self._dtype.type(given) == self._dtype.type(before):
            raise ValueError(f"time: {given} cannot be told from {before} in {self._dtype}; count from a later origin")
        return given

    def _checked_inputs(self, inputs, time):
        """Inputs on the session's clock, known since the last datum."""
        given = as_inputs(inputs, self._dtype, origin=self.origin, unit=self.unit)
        if isinstance(given, AbstractInputs):
            if self.replay:
                raise TypeError(f"inputs: arrays are needed for replay, got {type(given).__name__}; give replay=0")
            given.check_covers(time if self.time is None else min(time, self.time))
        return given

    def _checked_shapes(self, inputs):
        """(shape of a datum, inputs in words): those of the model, and of the first datum, or an error."""
        if self._shapes is None:
            return protocol.sensors(self.problem, self.belief, jnp.zeros((), self._dtype), inputs), _words(inputs)
        if _words(inputs) != self._shapes[1]:
            raise ValueError(f"inputs: {self._shapes[1]} needed, as with the first datum, got {_words(inputs)}")
        return self._shapes

    def _step(self, time, value, inputs, belief=None, k=None, key=None):
        """The compiled step on checked arguments: (belief, Info, what the report tells); from the session's belief, count and
        key unless others are given."""
        before = self.belief if belief is None else belief
        count = np.asarray(self.count + 1 if k is None else k)
        now, array = np.asarray(time, self._dtype), np.asarray(value, self._dtype)
        return self._compiled(self._arrays, before, count, now, array, inputs, self.key if key is None else key)

    def _absorbed(self, time, value, inputs):
        """The same, kept for later replays; or, for a late datum whose place is kept, of all the data after it anew, the
        evidence and the prediction those of the late one."""
        now = float(self._dtype.type(time))  # as the belief holds it, or equal times would seem late
        place = self._replay.place(now)
        if place is not None and now < float(self.belief.time):
            return self._replayed(place, entry(self._replay.entries[place].before, now, value, inputs))
        belief, info, told = self._step(time, value, inputs)
        if self.replay and _kept(info):
            self._replay.keep(len(self._replay.entries), [entry(self.belief, now, value, inputs, info.log_evidence)])
        return belief, info, told

    def _replayed(self, place, late):
        """The late datum and all after it, anew; of those that were kept before and are refused now nothing is left."""
        key = jax.random.fold_in(jax.random.fold_in(self.key, self.count + 1), _REPLAYED)
        belief, after, entries, infos, told = late.before, self._replay.entries[place:], [], [], None
        for k, each in enumerate([late, *after]):
            before = belief
            belief, info, told = self._step(each.time, each.value, each.inputs, before, k, key)
            infos.append(info)
            if _kept(info):
                entries.append(each._replace(before=before, log_evidence=info.log_evidence))
        self._replay.keep(place, entries)
        gained = sum(info.log_evidence for info in infos) - sum(each.log_evidence for each in after)
        flags = reduce(operator.or_, (info.flags for info in infos))
        return belief, eqx.tree_at(lambda i: (i.log_evidence, i.flags), infos[0], (gained, flags)), told

    def compile(self, inputs=None) -> None:
        """Compiles the step before the first datum, which then takes no longer than the others; changes nothing.

        `inputs`, for a model that reads them, is an example of what each datum will bring.
        """
        given = as_inputs(inputs, self._dtype, origin=self.origin, unit=self.unit)
        shapes = self._checked_shapes(given)
        time = jnp.where(jnp.isinf(self.belief.time), 0.0, self.belief.time)
        jax.block_until_ready(self._step(time, np.full(shapes[0], np.nan), given))
        self._shapes = shapes

    def observe(self, time, value, inputs=None) -> Report:
        """Absorbs one observation; NaN entries are missing. `inputs` holds since the datum before, or is a function of time
        (`Held`, `Linear`).

        Raises TypeError or ValueError naming the argument for infinities, shapes other than the model's or the first
        datum's, and times that are not finite, not understood, or not told apart; the belief is then untouched.
        """
        now = self._checked_time(time)
        given = self._checked_inputs(inputs, now)
        shapes = self._checked_shapes(given)
        array = _checked_value(value, shapes[0])
        belief, info, told = self._absorbed(now, array, given)
        info, (mean, covariance, named) = jax.device_get((info, told))
        self.belief, self.count, self._shapes = belief, self.count + 1, shapes
        self.time = now if self.time is None else max(now, self.time)
        bits = int(info.flags)
        if bits & protocol.ASKING:
            self._grow(bits & protocol.ASKING)
        flags = tuple(word for bit, word in protocol.FLAGS.items() if bits & bit)
        return Report(self._stamp(time), array, mean, covariance, float(info.log_evidence), named, flags, info)

    def forecast(self, times, *, inputs=None, draws: int = 1000) -> protocol.Forecast:
        """Draws of the states and observations at later times; the stream's own noise is not touched.

        Raises ValueError for times that decrease or lie before the belief, and for inputs that are not one row per time.
        """
        clock = np.array([self._clock(time) for time in times])
        if not len(clock) or (np.diff(clock, prepend=float(self.belief.time)) < 0).any():
            raise ValueError(f"times: not decreasing, from {float(self.belief.time):g} on, are needed, got {clock.tolist()}")
        given = as_inputs(inputs, self._dtype, origin=self.origin, unit=self.unit)
        if given is not None and not isinstance(given, AbstractInputs) and len(given) != len(clock):
            raise ValueError(f"inputs: {len(clock)} rows are needed, one per time, got {len(given)}")
        key = jax.random.fold_in(jax.random.fold_in(self.key, self.count), 2**31 - 1)
        return protocol.forecast(self.algorithm, self.problem, self.belief, clock, inputs=given, key=key, draws=draws)

    def save(self, path, **meta) -> None:
        """Writes a checkpoint, atomically: the belief, the clock, the counter, the key and `meta`, which JSON must hold.

        Raises TypeError naming `meta` when it does not.
        """
        kept = {"count": self.count, "time": self.time, "origin": self.origin, "unit": self.unit, "meta": meta}
        kept |= {"replay": self._replay.described(), "grown": self._grown}
        tree = (self.belief, jax.random.key_data(self.key), self._replay.entries)
        checkpoint.save(path, tree, {**kept, "key": str(jax.random.key_impl(self.key))})

    @classmethod
    def load(cls, path, algorithm, problem) -> Session:
        """A session that goes on from a checkpoint.

        Raises FileNotFoundError, or ValueError naming the file when it is damaged or of another kind, and the leaf when the
        model or algorithm is another one.
        """
        kept = checkpoint.header(path)
        key = jax.random.key(0, impl=kept["key"])
        length, grown = kept["replay"]["length"], kept.get("grown", [])
        for bits in grown:
            algorithm = algorithm.larger(bits)
        session = cls(algorithm, problem, key=key, origin=kept["origin"], unit=kept["unit"], replay=length)
        expected = (session.belief, jax.random.key_data(key), like(kept["replay"], session.belief))
        (session.belief, data, entries), _ = checkpoint.load(path, expected)
        session._replay, session._grown = Replay(length, entries), grown
        session.key = jax.random.wrap_key_data(data, impl=kept["key"])
        session.count, session.time, session.meta = kept["count"], kept["time"], kept["meta"]
        return session
