"""A stream of Redis, read by a consumer group."""

from __future__ import annotations

from typing import Any

from filterlearn.streams.sources.base import AbstractSource, Backoff, Columns

_COUNT, _WAIT = 100, 1000  # entries, and milliseconds, of one read


def _number(entry: str) -> tuple[int, int]:
    """The id of an entry, in its order."""
    first, _, second = entry.partition("-")
    return int(first), int(second or 0)


class RedisSource(AbstractSource):
    """The entries of a Redis stream, their fields the columns, read as `consumer` of a `group` that is made where there is
    none. A place is the id of an entry; it is acknowledged once a checkpoint holds it.

    After a crash the entries that were delivered and not acknowledged come again first, without those that the checkpoint
    knows. Connected anew, with pauses, when the connection is lost. One consumer for each checkpoint.
    """

    def __init__(self, url: str, stream: str, columns: Columns, *, group: str, consumer: str, backoff: Backoff | None = None):
        try:
            from redis.asyncio import Redis
        except ImportError as error:
            raise ImportError("url: needs the redis package; pip install 'filterlearn[streams]'") from error
        self.stream, self.columns, self.group, self.consumer = stream, columns, group, consumer
        self.backoff, self._waiting = backoff or Backoff(), []
        self._client = Redis.from_url(url, decode_responses=True)

    async def arrivals(self, place=None):
        """What was delivered before and not acknowledged, then what is new, for ever."""
        from redis.exceptions import ConnectionError as Lost

        last = place
        while True:
            try:
                await self._join()
                self.backoff.reset()
                async for name, fields in self._entries():
                    known = last is not None and _number(name) <= _number(last)
                    self._waiting.append(name)
                    if not known:
                        last = name
                        yield self.columns.arrival(fields, name)
            except (Lost, TimeoutError, OSError):
                await self.backoff.pause()

    async def _join(self):
        from redis.exceptions import ResponseError

        try:
            await self._client.xgroup_create(self.stream, self.group, id="0", mkstream=True)
        except ResponseError as error:
            if "BUSYGROUP" not in str(error):
                raise

    async def _entries(self):
        start = "0"  # of what is pending, from the first; ">" of what is new
        while True:
            told: Any = await self._client.xreadgroup(self.group, self.consumer, {self.stream: start}, _COUNT, _WAIT)
            entries = [entry for _, each in told or [] for entry in each]
            for name, fields in entries:
                yield name, fields or {}
            if start != ">":
                start = entries[-1][0] if entries else ">"

    async def acknowledge(self, place):
        """All entries up to this one."""
        done = [name for name in self._waiting if _number(name) <= _number(place)]
        if done:
            await self._client.xack(self.stream, self.group, *done)
        self._waiting = self._waiting[len(done) :]

    async def close(self):
        """The connection."""
        await self._client.aclose()
