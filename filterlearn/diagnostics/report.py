"""What to look at first in a fit or a filtered series: findings, tables, and all of it on one page."""

import base64
import html
import io

import arviz as az
import numpy as np

from filterlearn.diagnostics import pictures
from filterlearn.diagnostics.findings import findings
from filterlearn.diagnostics.table import Table, cell


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


def tables(tree) -> list[Table]:
    """The findings, then what a DataTree of `fit` or `to_datatree` tells: posterior, last belief, score."""
    made = [findings(tree)]
    made += [_posterior(tree)] if "posterior" in tree.children else []
    return [*made, *(_last(tree) if "filter" in tree.children else [])]


_PAGE = """<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title><style>
body {{ font-family: sans-serif; max-width: 62rem; margin: 2rem auto; }} img {{ width: 100%; }}
table {{ border-collapse: collapse; }} td, th {{ padding: .2rem .8rem; text-align: left; border-bottom: 1px solid #ddd; }}
</style></head><body><h1>{title}</h1>
{body}
</body></html>
"""


def _image(figure) -> str:
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=100)
    return f'<img alt="" src="data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}">'


def page(tree, title: str) -> str:
    """Tables and pictures of a DataTree of `fit` or `to_datatree` as one HTML page that needs no other file."""
    parts = [*(table.html() for table in tables(tree)), *(_image(figure) for figure in pictures.of(tree))]
    return _PAGE.format(title=html.escape(title), body="\n".join(parts))
