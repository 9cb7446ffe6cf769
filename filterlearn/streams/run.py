"""A source into a session, its reports into a sink, checkpoints between, and nothing counted twice."""

from __future__ import annotations

import collections
import json
import os
from pathlib import Path
from typing import Any

from filterlearn.clock import whole
from filterlearn.diagnostics.log import Report
from filterlearn.streams.lines import Lines
from filterlearn.streams.sources.base import AbstractSource, Arrival, Malformed
from filterlearn.streams.stopping import UntilStopped
from filterlearn.streams.store import Store


class SideFile:
    """What was refused, one line of JSON each with the reason, cut back to `offset` bytes first."""

    def __init__(self, path, offset: int):
        self.file = open(path, "r+b" if offset and Path(path).exists() else "wb")  # noqa: SIM115
        self.file.seek(offset)
        self.file.truncate()

    def write(self, arrival: Arrival | Malformed, reason: str) -> None:
        """One more."""
        text = arrival.text if isinstance(arrival, Malformed) else [arrival.time, arrival.value, arrival.inputs, arrival.id]
        self.file.write((json.dumps({"place": arrival.place, "reason": reason, "given": text}) + "\n").encode())

    def sync(self) -> int:
        """On the disk; how many bytes."""
        self.file.flush()
        os.fsync(self.file.fileno())
        return self.file.tell()

    def close(self) -> None:
        """Closes it."""
        self.file.close()


def sink_at(out, offset: int):
    """The sink of a path, a zarr store or JSON Lines; itself where it is one already."""
    if not isinstance(out, str | Path):
        return out
    return Store(out, offset) if Path(out).suffix == ".zarr" else Lines(Path(out), offset)


class Conduit:
    """One run of `follow`: what it has counted, and where all parts of it stand."""

    def __init__(self, session, source, out, checkpoint, quarantine, keep, refit=None):
        self.session, self.source, self.checkpoint, self.keep, self.refit = session, source, checkpoint, keep, refit
        meta = session.meta
        self.sink = None if out is None else sink_at(out, meta.get("offset", 0))
        self.side = None if quarantine is None else SideFile(quarantine, meta.get("side", 0))
        self.tally, self.place = collections.Counter(meta.get("tally", {})), meta.get("place")

    def take(self, arrival: Arrival | Malformed) -> Report | str:
        """One arrival: into the session and the sink, or aside; its report, or why it was not absorbed."""
        self.place = arrival.place
        if isinstance(arrival, Malformed):
            return self._aside(arrival, "malformed", arrival.reason)
        known = {} if arrival.id is None else {"id": arrival.id}
        try:
            report = self.session.observe(arrival.time, arrival.value, arrival.inputs, **known)
        except (ValueError, TypeError) as error:
            return self._aside(arrival, f"refused: {str(error).partition(':')[0]}", str(error))
        words = [word for word in ("duplicate", "late") if word in report.flags]
        self.tally[words[0] if words else "accepted"] += 1
        if self.sink is not None and "duplicate" not in words:
            self.sink.write(report)
        if self.refit is not None:
            self.refit.after(self.session, report, arrival.inputs)
        return report

    def _aside(self, arrival, kind, reason) -> str:
        self.tally[kind] += 1
        if self.side is not None:
            self.side.write(arrival, reason)
        return reason

    async def save(self) -> None:
        """The outputs on the disk, then the checkpoint that knows their lengths, then the source told of it."""
        ends = {"offset": 0 if self.sink is None else self.sink.sync(), "side": 0 if self.side is None else self.side.sync()}
        if self.checkpoint is not None:
            self.session.save(self.checkpoint, keep=self.keep, tally=dict(self.tally), place=self.place, **ends)
            if self.place is not None and self.source is not None:
                await self.source.acknowledge(self.place)

    async def close(self) -> None:
        """All parts."""
        for part in (self.sink, self.side, self.refit):
            if part is not None:
                part.close()
        if self.source is not None:
            await self.source.close()


async def follow(
    session,
    source: AbstractSource,
    *,
    out: Any = None,
    checkpoint=None,
    every: int = 100,
    keep: int = 1,
    quarantine=None,
    refit: Any = None,
    watch: Any = None,
) -> dict[str, int]:
    """Observes what a source brings until it ends, or SIGINT or SIGTERM come; how many were `accepted`, `late`, `duplicate`,
    `malformed`, and `refused: ` by the argument, since the first run.

    Reports go to `out` (a path of JSON Lines or of a zarr store, or what has `write`, `sync` and `close`), what is malformed
    or refused with its reason to the file `quarantine`. Every so many arrivals, and at the end, the outputs are synced, the
    checkpoint is written, which knows their lengths and the source's place, and the source is told. Begun again with
    `Session.load(checkpoint, ...)` it cuts the outputs back and goes on: nothing is lost or counted twice. A `Refit` is
    told of each datum, and ends with the run. `watch(arrival, session)` is called after each arrival.
    """
    whole("every", every, 1)
    conduit = Conduit(session, source, out, checkpoint, quarantine, keep, refit)
    try:
        count = 0
        async for arrival in UntilStopped(source.arrivals(conduit.place)):
            conduit.take(arrival)
            count += 1
            if watch is not None:
                watch(arrival, session)
            if count % every == 0:
                await conduit.save()
    finally:
        await conduit.save()
        await conduit.close()
    return dict(conduit.tally)
