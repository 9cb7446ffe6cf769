"""Signals that end a stream: at once while it waits for a datum, else after the one in hand."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Callable

_TURN = 4  # arrivals between two turns of the loop, of which a signal takes two or three


def on_signals(call: Callable[[], None]) -> None:
    """SIGINT and SIGTERM call this, where this is the main thread."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        try:
            loop.add_signal_handler(number, call)
        except (ValueError, RuntimeError, NotImplementedError):  # another thread, or a system without
            break


def stop_event() -> asyncio.Event:
    """Set by SIGINT and SIGTERM."""
    event = asyncio.Event()
    on_signals(event.set)
    return event


class UntilStopped:
    """The arrivals of a source until SIGINT or SIGTERM come. One task waits for it, so that an arrival that is there costs no
    switch between tasks."""

    def __init__(self, rows: AsyncIterator):
        self._rows, self._task, self._count = rows, asyncio.current_task(), 0
        self._waiting = self._stopped = False
        on_signals(self._stop)

    def _stop(self):
        self._stopped = True
        if self._waiting and self._task is not None:
            self._task.cancel()

    def __aiter__(self):
        return self

    async def __anext__(self):
        """The next one; a wait that a signal breaks off takes none."""
        self._count += 1
        if self._count % _TURN == 0:
            await asyncio.sleep(0)
        if self._stopped:
            raise StopAsyncIteration
        try:
            self._waiting = True
            return await anext(self._rows)
        except asyncio.CancelledError:
            if not self._stopped or self._task is None or self._task.uncancel():
                raise
            raise StopAsyncIteration from None
        finally:
            self._waiting = False
