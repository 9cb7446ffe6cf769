"""Rows followed to their end or to a signal, and taken up again from a checkpoint."""

import collections
import itertools
import os
import signal
import threading
import time
from pathlib import Path

import jax

from filterlearn.streams.session import Session

_PATIENCE = 0.1  # seconds, after which a signal that was not heard is sent again


class Stop:
    """Ctrl-C and SIGTERM end a stream: at once while it waits for a row, else after the row in hand."""

    def __init__(self):
        self.number, self._waiting = 0, False
        read, write = os.pipe()
        os.set_blocking(write, False)
        signal.set_wakeup_fd(write)
        threading.Thread(target=self._insist, args=(read, threading.get_ident()), daemon=True).start()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._asked)

    def _insist(self, read, main):
        """A signal taken by another thread, or just before the wait for a row, does not break that wait: it is sent again to
        the main thread until it is heard."""
        while number := os.read(read, 1):
            time.sleep(_PATIENCE)
            if not self.number:
                signal.pthread_kill(main, number[0])

    def _asked(self, number, _):
        self.number = number
        if self._waiting:
            raise KeyboardInterrupt

    def until(self, rows):
        """The rows, until it is asked to stop."""
        while True:
            try:
                self._waiting = True  # before the look at the number, so that no signal falls between the two
                if self.number:
                    return
                row = next(rows)
            except (StopIteration, KeyboardInterrupt):
                return
            finally:
                self._waiting = False
            yield row


def begun(loaded, rows, checkpoint: Path | None, seed: int, unit, replay: int | None = None):
    """(a new session or the one in the checkpoint, the offset of its output, the rows that it has not seen)."""
    if checkpoint is not None and checkpoint.exists():
        session = Session.load(checkpoint, loaded.algorithm, loaded.problem)
        for name, given, kept in (("unit", unit, session.unit), ("replay", replay, session.replay)):
            if given not in (None, kept):
                raise ValueError(f"{name}: {given} was given, the checkpoint has {kept}; delete it to start anew")
        return session, session.meta["offset"], _unseen(rows, session)
    first = next(rows, None)
    if first is None:
        raise KeyboardInterrupt
    origin = first[0] if isinstance(first[0], str) else None
    session = Session(
        loaded.algorithm, loaded.problem, key=jax.random.key(seed), origin=origin, unit=unit, replay=replay or 0
    )
    return session, 0, itertools.chain([first], rows)


def _unseen(rows, session):
    """The rows after those that the session has seen, which must be the same as then."""
    seen = collections.deque(enumerate(itertools.islice(rows, session.count), 1), maxlen=1)
    number, row = seen[-1] if seen else (0, (None,))
    if number < session.count:
        raise ValueError(
            f"data: {number} rows, of which the checkpoint has seen {session.count}; give them from the beginning"
        )
    if row[0] != session.meta["stamp"]:
        was, now = session.meta["stamp"], row[0]
        raise ValueError(f"data: row {number} is at {now}, and was at {was} at the checkpoint; give them from the beginning")
    return rows


def stream(session, rows, sink, checkpoint: Path | None, every: int):
    """Each row observed and written; the output, then the checkpoint that knows its length, every so often and at the end."""

    def keep():
        end = sink.sync()
        if checkpoint is not None:
            session.save(checkpoint, offset=end, stamp=stamp)

    stamp = session.meta.get("stamp")
    try:
        for stamp, values, inputs in rows:
            sink.write(_observed(session, stamp, values, inputs))
            if session.count % every == 0:
                keep()
    finally:
        keep()


def _observed(session, stamp, values, inputs):
    try:
        return session.observe(stamp, values, inputs)
    except (ValueError, TypeError) as error:
        raise type(error)(f"{error}, in row {session.count + 1} at {stamp}") from error
