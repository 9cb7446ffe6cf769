"""CSV and JSON Lines in a file, from a place on and as it grows, or on standard input."""

from __future__ import annotations

import asyncio
import itertools
import os
import sys
import threading
from pathlib import Path

from filterlearn.streams.sources.base import AbstractSource, Columns, Malformed, header_of, read_csv, read_json

_AHEAD = 1000  # lines of standard input that may wait


def _header(text: bytes, columns):
    """The names in the first line, None where it is JSON."""
    return header_of(text.removeprefix(b"\xef\xbb\xbf").decode(errors="replace").rstrip("\r\n"), columns)


def _line(text: bytes, header, columns, place):
    """One line as a datum."""
    try:
        row = text.decode().rstrip("\r\n")
    except UnicodeDecodeError as error:
        return Malformed(place, str(text[:200]), f"not UTF-8: {error.reason}")
    return read_json(row, columns, place) if header is None else read_csv(row, header, columns, place)


class FileSource(AbstractSource):
    """The rows of a CSV or JSON Lines file, told apart by its first character; a place is a number of bytes.

    With `follow`, in seconds, the end of the file is looked at again after each such pause, for ever: a line counts once it
    ends, and a file that was put in its place, or cut, is read from its beginning. A row within quotes over several lines is
    malformed.
    """

    def __init__(self, path, columns: Columns, *, follow: float | None = None):
        self.path, self.columns, self.follow = Path(path), columns, follow

    async def arrivals(self, place=None):
        """Rows that end after `place` bytes."""
        while True:
            with open(self.path, "rb") as file:
                async for row in self._rows(file, place or 0):
                    yield row
            if self.follow is None:
                return
            place = 0

    async def _rows(self, file, place):
        """To the end of this file, or until another one takes its name."""
        first = await self._next(file)
        if first is None:
            return
        header = _header(first, self.columns)
        if self.follow is None and place > os.fstat(file.fileno()).st_size:
            raise ValueError(f"path: {self.path} ends before byte {place}, up to which it was read; give the same file")
        file.seek(max(place, 0 if header is None else file.tell()))
        while (text := await self._next(file)) is not None:
            if text.strip():
                yield _line(text.removeprefix(b"\xef\xbb\xbf"), header, self.columns, file.tell())

    async def _next(self, file) -> bytes | None:
        """The next whole line, waited for; None at the end of a file that grows no more."""
        while True:
            start, text = file.tell(), file.readline()
            if text.endswith(b"\n") or (text and self.follow is None):
                return text
            file.seek(start)
            if self.follow is None or self._replaced(file):
                return None
            await asyncio.sleep(self.follow)

    def _replaced(self, file) -> bool:
        """Whether another file has this name, or this one was cut."""
        try:
            there = os.stat(self.path)
        except FileNotFoundError:
            return False
        here = os.fstat(file.fileno())
        return (there.st_ino, there.st_dev) != (here.st_ino, here.st_dev) or there.st_size < file.tell()


class StandardInput(AbstractSource):
    """The rows of CSV or JSON Lines on standard input; a place is a number of rows, which are given anew from the first after
    an interruption."""

    def __init__(self, columns: Columns):
        self.columns = columns

    async def arrivals(self, place=None):
        """Rows after the first `place`."""
        lines, count = asyncio.Queue(_AHEAD), 0
        threading.Thread(target=_read, args=(lines, asyncio.get_running_loop()), daemon=True).start()
        first = await lines.get()
        if (
            first is not None
            and (header := header_of(first.decode(errors="replace").rstrip("\r\n"), self.columns)) is not None
        ):
            first = await lines.get()
        while first is not None:
            count += bool(first.strip())
            if first.strip() and count > (place or 0):
                yield _line(first, header, self.columns, count)
            first = await lines.get()


def _read(lines, loop):
    """Lines into a queue that holds the reader back, then None: in a thread of its own, for a read can wait for ever."""
    for text in itertools.chain(sys.stdin.buffer, [None]):
        asyncio.run_coroutine_threadsafe(lines.put(text), loop).result()
