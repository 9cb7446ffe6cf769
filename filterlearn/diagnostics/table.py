"""Tables as text and as HTML."""

import dataclasses
import html
from typing import Any

import numpy as np


@dataclasses.dataclass(frozen=True)
class Table:
    """A title, the names of the columns and rows of cells."""

    title: str
    header: tuple[str, ...]
    rows: list[tuple[Any, ...]]

    def __str__(self) -> str:
        if not self.rows:
            return self.title
        cells = [self.header, *([cell(each) for each in row] for row in self.rows)]
        widths = [max(len(row[i]) for row in cells) for i in range(len(self.header))]
        lines = ["  ".join(text.ljust(w) for text, w in zip(row, widths, strict=True)).rstrip() for row in cells]
        return "\n".join([self.title, *lines])

    def html(self) -> str:
        """The same as HTML."""

        def line(cells, tag):
            return "<tr>" + "".join(f"<{tag}>{html.escape(cell(each))}</{tag}>" for each in cells) + "</tr>"

        body = "".join(line(row, "td") for row in self.rows)
        table = f"<table>{line(self.header, 'th')}{body}</table>" if self.rows else ""
        return f"<h2>{html.escape(self.title)}</h2>{table}"


def cell(value) -> str:
    """A number, a time or a word as text."""
    if isinstance(value, np.datetime64):
        return str(np.datetime_as_string(value, "auto"))
    return f"{value:.4g}" if isinstance(value, float | np.floating) else str(value)
