"""What a stream does with a datum that was checked: one compiled step, through gaps, late data, growth and troubles."""

from __future__ import annotations

import collections
import operator
from functools import reduce

import equinox as eqx
import jax
import numpy as np

from filterlearn import protocol
from filterlearn.inputs import AbstractInputs
from filterlearn.numerics.leaves import divided
from filterlearn.streams.compiled import REFUSED, compiled, enlarged, start, swept
from filterlearn.streams.packed import unpacked
from filterlearn.streams.replay import Replay, entry
from filterlearn.streams.troubles import Trouble

_REPLAYED = 2**31 - 2  # folded into the keys of replays
_GROWN = 2**31 - 3  # of what makes beliefs larger
_BRIDGED = 2**31 - 4  # of the steps within a long gap
_MENDED = 2**31 - 5  # and of what takes the place of a lost belief
_TROUBLE = REFUSED | protocol.COLLAPSED


def _kept(info) -> bool:
    """Whether the belief after the datum took the place of the one before."""
    return int(info.flags) & (REFUSED | protocol.LATE) == 0


class Engine:
    """The belief of a stream, its key and its counter, and the compiled step that absorbs a datum.

    Times are numbers, values and inputs arrays of the model's shapes: `Session` sees to that.
    """

    def __init__(self, algorithm, problem, key, replay: int, longest: float | None, policy):
        self.problem, self.key, self.longest, self.policy = problem, key, longest, policy
        self.belief, self.replay = start(algorithm, problem, key), Replay(replay)
        policy.check(self.belief)
        self.given, self.grown = algorithm, []  # the flags that it was made larger for
        self.count, self.counts = 0, collections.Counter()
        self.use(algorithm)

    def use(self, algorithm) -> None:
        """From now on with this algorithm, and with what the problem and the key are now."""
        self.algorithm, self.dtype = algorithm, self.belief.time.dtype
        arrays, form = divided((algorithm, self.problem))
        self._arrays, self._form = jax.device_put(arrays), (form, str(jax.random.key_impl(self.key)))
        self._compiled, self._data = compiled(self._form), jax.random.key_data(self.key)

    def key_of(self, purpose: int):
        """A key for something beside datum `count`."""
        return jax.random.fold_in(jax.random.fold_in(self.key, self.count), purpose)

    def _row(self, time, value):
        """Both in one array, in the precision of the belief."""
        row = np.empty(1 + len(value), self.dtype)
        row[0], row[1:] = time, value
        return row

    def step(self, time, value, inputs, belief=None, k=0, data=None):
        """The compiled step: (belief, Info, what the report tells); from this belief and with the stream's own key unless
        others are given. A long gap is passed before it."""
        before, data = self.belief if belief is None else belief, self._data if data is None else data
        before = before if self.longest is None else self._passed(before, time, value, inputs)
        after, told = self._compiled(self._arrays, before, np.asarray(k), self._row(time, value), inputs, data)
        return after, *unpacked(np.asarray(told.numbers), told.form)

    def _passed(self, belief, time, value, inputs):
        """The belief predicted through a gap, in equal steps of at most `longest`, all but the last."""
        gap = time - float(belief.time)
        if not self.longest < gap < np.inf:
            return belief
        steps, data = int(np.ceil(gap / self.longest)), jax.random.key_data(self.key_of(_BRIDGED))
        missing = np.full(len(value), np.nan)
        for k in range(1, steps):
            row = self._row(time - gap * (1 - k / steps), missing)
            belief, _ = self._compiled(self._arrays, belief, np.asarray(k), row, inputs, data)
        return belief

    def absorb(self, time, value, inputs):
        """(Info, what the report tells) of one datum more."""
        belief, info, told = self._absorbed(time, value, inputs)
        self.belief = belief
        return info, self._after(time, value, inputs, int(info.flags)) or told

    def _absorbed(self, time, value, inputs):
        """The step, kept for later replays; or, for a late datum whose place is kept, of all the data after it anew, the
        evidence and the prediction those of the late one."""
        now = float(self.dtype.type(time))  # as the belief holds it, or equal times would seem late
        place = self.replay.place(now)
        if place is not None and now < float(self.belief.time):
            return self._replayed(place, entry(self.replay.entries[place].before, now, value, inputs))
        belief, info, told = self.step(time, value, inputs, k=self.count + 1)
        if self.replay.length and _kept(info):
            self.replay.keep(len(self.replay.entries), [entry(self.belief, now, value, inputs, info.log_evidence)])
        return belief, info, told

    def _replayed(self, place, late):
        """The late datum and all after it, anew; of those that were kept before and are refused now nothing is left."""
        key = jax.random.fold_in(jax.random.fold_in(self.key, self.count + 1), _REPLAYED)
        belief, after, entries, infos, told = late.before, self.replay.entries[place:], [], [], None
        for k, each in enumerate([late, *after]):
            before = belief
            belief, info, told = self.step(each.time, each.value, each.inputs, before, k, jax.random.key_data(key))
            infos.append(info)
            if _kept(info):
                entries.append(each._replace(before=before, log_evidence=info.log_evidence))
        self.replay.keep(place, entries)
        gained = sum(info.log_evidence for info in infos) - sum(each.log_evidence for each in after)
        flags = reduce(operator.or_, (info.flags for info in infos))
        return belief, eqx.tree_at(lambda i: (i.log_evidence, i.flags), infos[0], (gained, flags)), told

    def _after(self, time, value, inputs, bits):
        """Counts a datum; what the report tells, where what its flags ask for has changed the belief."""
        self.count += 1
        if not bits:
            return None
        self.counts.update(protocol.words(bits))
        before = self.belief
        if bits & _TROUBLE:
            self._mend(time, value, inputs, protocol.words(bits))
        if bits & protocol.ASKING:
            self._grow(bits & protocol.ASKING)
            return None
        return None if self.belief is before else self.now(time, value, inputs)[1]

    def _mend(self, time, value, inputs, words):
        """What the policy puts in the place of a belief in trouble; what was kept for late data is let go with the old."""
        key = self.key_of(_MENDED)

        def begun():
            before = start(self.algorithm, self.problem, key)
            return self.step(time, np.full_like(value, np.nan), inputs, before, 0, jax.random.key_data(key))[0]

        mended = self.policy.mended(Trouble(self.count, time, words, self.belief, begun, key))
        if mended is not self.belief:
            self.belief, self.replay = mended, Replay(self.replay.length)

    def _grow(self, bits):
        """A larger algorithm, where there is one for these flags; what was kept for late data is let go."""
        larger = self.algorithm.larger(bits)
        if larger is self.algorithm:
            return
        self.belief = enlarged(larger, self.problem, self.belief, bits, self.key_of(_GROWN))
        self.use(larger)
        self.grown.append(bits)
        self.replay = Replay(self.replay.length)

    def now(self, time, value, inputs):
        """(Info, what a report tells) of the belief as it is, which stays."""
        here = float(self.belief.time)
        return self.step(here if np.isfinite(here) else time, np.full_like(value, np.nan), inputs)[1:]

    def sweep(self, times, values, inputs):
        """Many data in one compiled scan: a list of (Info, what the report tells), or None, with nothing changed, where one
        needs more care than that."""
        all_times = np.array([float(self.belief.time), *times])
        gaps = np.diff(all_times[np.isfinite(all_times)])
        if self.replay.length or (self.longest is not None and (gaps > self.longest).any()):
            return None
        rows = np.column_stack([times, values]).astype(self.dtype)
        one = inputs[0] is None or isinstance(inputs[0], AbstractInputs)
        given = (inputs[0], None) if one else (None, np.stack(inputs))
        belief, told = swept(self._form)(self._arrays, self.belief, np.asarray(self.count + 1), rows, *given, self._data)
        parts = [unpacked(row, told.form) for row in np.asarray(told.numbers)]
        if any(int(info.flags) & (_TROUBLE | protocol.ASKING) for info, _ in parts):
            return None
        self.belief = belief
        for (info, _), time, value, own in zip(parts, times, values, inputs, strict=True):
            self._after(time, value, own, int(info.flags))
        return parts
