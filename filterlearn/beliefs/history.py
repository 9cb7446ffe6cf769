"""Data kept inside a belief, for what must be filtered anew."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from filterlearn.data import Datum
from filterlearn.numerics.masking import observed


class History(eqx.Module):
    """The data so far in a buffer of fixed length: `rows` is a Datum stacked `capacity` times, `count` how many there were.
    Whatever comes once the buffer is full is lost, but counted."""

    rows: Datum
    count: Int[Array, ""]

    @classmethod
    def empty(cls, capacity: int, like: Datum) -> History:
        """Room for `capacity` data of the kind of one."""
        return cls(jax.tree.map(lambda leaf: jnp.zeros((capacity, *leaf.shape), leaf.dtype), like), jnp.zeros((), jnp.int32))

    @property
    def capacity(self) -> int:
        """Rows of the buffer."""
        return self.rows.time.shape[0]

    @property
    def whole(self):
        """Whether every datum is still there."""
        return self.count <= self.capacity

    def row(self, k) -> Datum:
        """Datum k, from 0."""
        return jax.tree.map(lambda leaf: leaf[k], self.rows)

    def widened(self, capacity: int) -> History:
        """The same in a longer buffer."""
        more = capacity - self.capacity
        return History(
            jax.tree.map(lambda leaf: jnp.pad(leaf, [(0, more)] + [(0, 0)] * (leaf.ndim - 1)), self.rows), self.count
        )

    def _put(self, place, datum, condition):
        """The datum in a place of the buffer, if the condition holds and there is such a place."""
        where = jnp.where(condition, place, self.capacity)
        rows = jax.tree.map(lambda all, one: all.at[where].set(one, mode="drop"), self.rows, datum)
        return History(rows, jnp.where(condition, jnp.maximum(self.count, place + 1), self.count))

    def reached(self, before, time, inputs) -> History:
        """A new row, its value missing, where the time is later than that `before`."""
        return self._put(self.count, Datum(time, jnp.full_like(self.rows.value[0], jnp.nan), inputs), time > before)

    def told(self, datum: Datum) -> History:
        """The value in the row of its time, a new one if that has a value already; nothing where all entries are missing."""
        last = self.row(self.count - 1)
        waiting = (self.count > 0) & (last.time == datum.time) & ~observed(last.value).any()
        return self._put(self.count - waiting, datum, observed(datum.value).any())


class Record(eqx.Module):
    """What moves over the data so far need: the data, and the log evidence `(M,)` of each parameter particle. Of the last
    moves it keeps the share that was accepted and the variance of a log evidence over keys, NaN before any."""

    history: History
    log_evidence: Float[Array, "M"]
    acceptance: Any
    noise: Any

    def chosen(self, index) -> Record:
        """That of the particles with these indices."""
        return eqx.tree_at(lambda r: r.log_evidence, self, self.log_evidence[index])
