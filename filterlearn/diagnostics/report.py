"""What to look at first in a fit or a filtered series: findings, tables, and all of it on one page."""

import base64
import html
import io

import arviz as az
import numpy as np

from filterlearn.diagnostics import pictures
from filterlearn.diagnostics.findings import findings
from filterlearn.diagnostics.panels import described
from filterlearn.diagnostics.table import Table, cell

_SHOWN = 12  # rows of a forecast


def _posterior(tree):
    frame = az.summary(tree)
    rows = [(name, *row) for name, row in zip(frame.index, frame.to_numpy().tolist(), strict=True)]
    return Table("Posterior", ("", *map(str, frame.columns)), rows)


def _last(tree):
    """The belief after the last datum, and the score."""
    filtered, scores = tree["filter"].dataset, pictures.log_scores(tree)
    last, told = filtered.isel(time=-1), scores[np.isfinite(scores)]
    moments = zip(last["mean"].values, last["variance"].values, strict=True)
    states = [(f"state {i}", mean, variance**0.5) for i, (mean, variance) in enumerate(moments)]
    bands = [
        (name.removeprefix("parameter_"), *quantiles)
        for name, array in last.data_vars.items()
        if name.startswith("parameter_")
        for quantiles in array.values.reshape(3, -1).T
    ]
    moving = [Table("Parameters after the last datum", ("", "5 %", "50 %", "95 %"), bands)] if bands else []
    title = f"States after the last of {len(scores)} data, at {cell(last['time'].values[()])}"
    score = [("one step", len(told), told.sum(), told.mean() if len(told) else np.nan)]
    return [*moving, Table(title, ("", "mean", "sd"), states), Table("Log score", ("", "data", "total", "mean"), score)]


def _ahead(tree):
    """The data to come."""
    y = tree["predictions"]["y"]
    levels = y.quantile((0.05, 0.5, 0.95), ("chain", "draw")).transpose("time", "sensor", "quantile").values
    rows = [(cell(t), f"sensor {i}", *q) for t, own in zip(y["time"].values, levels, strict=True) for i, q in enumerate(own)]
    shown = rows[:_SHOWN]
    title = "Data to come" if len(shown) == len(rows) else f"Data to come: the first {len(shown)} of {len(rows)}"
    return Table(title, ("time", "of", "5 %", "50 %", "95 %"), shown)


def tables(tree) -> list[Table]:
    """The findings, then what a DataTree tells: posterior, last belief, score, the data to come."""
    made = [findings(tree)]
    made += [_posterior(tree)] if "posterior" in tree.children else []
    made += _last(tree) if "filter" in tree.children else []
    return [*made, *([_ahead(tree)] if "predictions" in tree.children else [])]


_PAGE = """<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>
<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="color-scheme" content="light dark"><style>
:root {{ --ink: #1d2430; --paper: #fff; --line: #d5dae1; --soft: #f4f6f8; --bad: #b3261e; --good: #1b7f4b; }}
@media (prefers-color-scheme: dark) {{
  :root {{ --ink: #e3e7ec; --paper: #14181d; --line: #3a424d; --soft: #1d232a; --bad: #ff8a80; --good: #6fd39f; }}
  img {{ filter: invert(.92) hue-rotate(180deg); }}
}}
* {{ box-sizing: border-box; }}
body {{ font: 1rem/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper); max-width: 68rem; margin: 0 auto;
  padding: 1rem clamp(.75rem, 3vw, 2rem) 3rem; }}
h1 {{ font-size: 1.5rem; overflow-wrap: anywhere; }} h2 {{ font-size: 1.1rem; margin: 0 0 .5rem; }}
section, figure {{ margin: 0 0 1.5rem; }}
section.bad, section.good {{ border-left: .3rem solid var(--good); background: var(--soft); padding: .8rem 1rem; }}
section.bad {{ border-color: var(--bad); }} section.bad h2 {{ color: var(--bad); }}
section.good h2 {{ color: var(--good); margin: 0; }}
figcaption {{ font-weight: 600; margin-bottom: .3rem; }}
.wide {{ overflow-x: auto; }}
table {{ border-collapse: collapse; font-variant-numeric: tabular-nums; }}
td, th {{ padding: .25rem .8rem .25rem 0; text-align: left; vertical-align: top; white-space: nowrap;
  border-bottom: 1px solid var(--line); }}
td:last-child, th:last-child {{ padding-right: 0; }} section.bad td:last-child {{ white-space: normal; min-width: 16rem; }}
@media (max-width: 40rem) {{
  section.bad tr:first-child {{ display: none; }} section.bad td:first-child {{ font-weight: 600; }}
  section.bad td {{ display: block; white-space: normal; border: 0; padding: 0; }}
  section.bad td:last-child {{ min-width: 0; padding-bottom: .7rem; }}
}}
img {{ display: block; width: 100%; min-width: 34rem; height: auto; border: 1px solid var(--line); }}
</style></head><body><main><h1>{title}</h1>
{body}
</main></body></html>
"""


def _section(table, kind) -> str:
    """A table that scrolls by itself where the window is narrow."""
    return f'<section class="{kind}"><div class="wide" tabindex="0">{table.html()}</div></section>'


def _image(figure) -> str:
    """A picture that scrolls by itself, its title in the text."""
    title, words, file = figure.get_suptitle(), described(figure), io.BytesIO()
    figure.suptitle("")
    figure.savefig(file, format="png", dpi=120)
    code = base64.b64encode(file.getvalue()).decode()
    image = f'<img alt="{html.escape(words, quote=True)}" src="data:image/png;base64,{code}">'
    return f'<figure><figcaption>{html.escape(title)}</figcaption><div class="wide" tabindex="0">{image}</div></figure>'


def page(tree, title: str) -> str:
    """Warnings, tables and pictures of a DataTree as one HTML page that needs no other file."""
    first, *others = tables(tree)
    parts = [_section(first, "bad" if first.rows else "good"), *(_section(each, "plain") for each in others)]
    parts += map(_image, pictures.of(tree))
    return _PAGE.format(title=html.escape(title), body="\n".join(parts))
