"""The last data of a stream and the beliefs before them, so that a late datum can take its place."""

from typing import Any, NamedTuple

import jax.numpy as jnp


class Entry(NamedTuple):
    """A datum that was absorbed: the belief before it, its time, value and inputs, and its log evidence."""

    before: Any
    time: Any
    value: Any
    inputs: Any
    log_evidence: Any


def entry(before, time, value, inputs, log_evidence=0.0) -> Entry:
    """One of arrays, as a checkpoint takes them."""
    dtype = before.time.dtype
    given = None if inputs is None else jnp.asarray(inputs)
    return Entry(before, jnp.asarray(time, dtype), jnp.asarray(value, dtype), given, jnp.asarray(log_evidence))


class Replay:
    """The last `length` entries, in the order of their times."""

    def __init__(self, length: int, entries=()):
        self.length, self.entries = length, list(entries)

    def place(self, time) -> int | None:
        """How many entries are no later; None where the belief that a datum at this time needs is no longer kept."""
        if not self.entries or time < float(self.entries[0].before.time):
            return None
        return int(sum(float(entry.time) <= time for entry in self.entries))

    def keep(self, place: int, entries) -> None:
        """Puts entries in the place of those from `place` on; the oldest beyond the length are let go."""
        self.entries = [*self.entries[:place], *entries][-self.length :] if self.length else []

    def described(self) -> dict:
        """What `like` needs, as JSON holds it."""
        last = self.entries[-1] if self.entries else None
        shapes = {} if last is None else {"value": len(last.value), "inputs": _shape(last.inputs)}
        return {"length": self.length, "count": len(self.entries), **shapes}


def _shape(inputs):
    return None if inputs is None else list(inputs.shape)


def like(described: dict, belief) -> list[Entry]:
    """Entries of the described shapes, whose numbers mean nothing."""
    shape = described.get("inputs")
    inputs = None if shape is None else jnp.zeros(shape, belief.time.dtype)
    return [
        entry(belief, 0.0, jnp.zeros(described["value"]), inputs, jnp.zeros((), belief.time.dtype))
        for _ in range(described["count"])
    ]
