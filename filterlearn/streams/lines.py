"""JSON Lines of reports, in a file that can be cut back to where a checkpoint belongs."""

import json
import math
import os
import sys
from pathlib import Path

import numpy as np


def plain(value):
    """Arrays as lists, and null for what is not finite, which JSON does not hold."""
    if isinstance(value, dict):
        return {name: plain(each) for name, each in value.items()}
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


class Lines:
    """The output of a stream: one line of JSON for each report, in a file, or on standard output when `path` is None.

    A file is first cut back to `offset` bytes. Raises ValueError naming `out` when it has fewer.
    """

    def __init__(self, path: Path | None, offset: int):
        size = path.stat().st_size if path is not None and path.exists() else 0
        if path is not None and size < offset:
            raise ValueError(f"out: {path} has {size} bytes, the checkpoint knows of {offset}; delete the checkpoint")
        self.regular = path is not None
        self.file = sys.stdout if path is None else open(path, "r+" if offset else "w", encoding="utf-8")  # noqa: SIM115
        if self.regular:
            self.file.seek(offset)
            self.file.truncate()

    def write(self, report) -> None:
        """One more line."""
        self.file.write(json.dumps(plain(report.row()), allow_nan=False) + "\n")

    def sync(self) -> int:
        """Everything on the disk; the bytes so far, 0 on standard output."""
        self.file.flush()
        if not self.regular:
            return 0
        os.fsync(self.file.fileno())
        return self.file.tell()

    def close(self) -> None:
        """Closes the file; standard output stays open."""
        if self.regular:
            self.file.close()


def read(path) -> list[dict]:
    """The rows of a file of such lines; a last line that is still being written is left out.

    Raises ValueError naming the line that is not one of a report.
    """
    rows = []
    with open(path, encoding="utf-8") as file:
        for number, text in enumerate(file, 1):
            if not text.endswith("\n"):
                break
            try:
                rows.append(json.loads(text))
            except ValueError as error:
                raise ValueError(f"file: line {number} of {path} is not JSON; an output of `track` is needed") from error
    return rows
