"""What to look at first in a fit or a filtered series: findings, tables, and all of it on one page."""

import base64
import dataclasses
import html
import io
from typing import Any

import arviz as az
import numpy as np

from filterlearn.diagnostics import pictures
from filterlearn.diagnostics.step_size import objection
from filterlearn.protocol import FLAGS

_RHAT, _ESS = 1.01, 100  # Vehtari et al. 2021, sec. 4: R-hat, and effective draws for each chain
_KOLMOGOROV = 1.9495  # sqrt(T) x the distance from uniform is beyond it once in 1,000 calibrated series
_HALF = "half_step_"  # of the names of what halving the step did


@dataclasses.dataclass(frozen=True)
class Table:
    """A title, the names of the columns and rows of cells."""

    title: str
    header: tuple[str, ...]
    rows: list[tuple[Any, ...]]

    def __str__(self) -> str:
        if not self.rows:
            return self.title
        cells = [self.header, *([_cell(each) for each in row] for row in self.rows)]
        widths = [max(len(row[i]) for row in cells) for i in range(len(self.header))]
        lines = ["  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip() for row in cells]
        return "\n".join([self.title, *lines])

    def html(self) -> str:
        """The same as HTML."""

        def line(cells, tag):
            return "<tr>" + "".join(f"<{tag}>{html.escape(_cell(each))}</{tag}>" for each in cells) + "</tr>"

        body = "".join(line(row, "td") for row in self.rows)
        table = f"<table>{line(self.header, 'th')}{body}</table>" if self.rows else ""
        return f"<h2>{html.escape(self.title)}</h2>{table}"


def _cell(value) -> str:
    if isinstance(value, np.datetime64):
        return str(np.datetime_as_string(value, "auto"))
    return f"{value:.4g}" if isinstance(value, float | np.floating) else str(value)


def _worst(tree, method):
    """The R-hat or ESS of every scalar entry, by name."""
    dataset = method(tree["posterior"].dataset)
    return [(name, np.asarray(array, float)) for name, array in dataset.data_vars.items()]


def _chains(tree):
    """Have the chains mixed, and are there enough effective draws (Vehtari et al. 2021, doi:10.1214/20-BA1221)?"""
    chains = tree["posterior"].sizes["chain"]
    if chains == 1:
        yield "chains", "1", "R-hat needs at least 2; draw more chains"
    for name, value in _worst(tree, az.rhat):
        if (worst := np.max(value)) > _RHAT:
            yield (
                name,
                f"R-hat {worst:.3f}",
                f"above {_RHAT}: the chains disagree; draw longer, or start from a filter's belief",
            )
    for kind in ("bulk", "tail"):
        for name, value in _worst(tree, lambda draws, kind=kind: az.ess(draws, method=kind)):
            if not (least := np.min(value)) >= _ESS * chains:
                yield name, f"{kind} ESS {least:.0f}", f"below {_ESS} for each of {chains} chains; draw longer"


def _divergences(tree):
    statistics = tree["sample_stats"].data_vars if "sample_stats" in tree.children else {}
    if "diverging" in statistics and (count := int(statistics["diverging"].sum())):
        yield (
            "sampler",
            f"{count} divergences",
            "the posterior is too curved for the step; reparametrise or narrow the priors",
        )


def _flags(tree):
    flags, times = tree["filter"]["flags"].values, tree["filter"]["time"].values
    for bit, word in FLAGS.items():
        where = np.flatnonzero(flags & bit)
        if where.size:
            yield "filter", f"{word}: {where.size} times", f"first at {_cell(times[where[0]])}, row {where[0]}"


def _calibration(tree):
    """The distance of the predictive distribution functions at the data from uniform (Kolmogorov 1933)."""
    for i, column in enumerate(tree["filter"]["pit"].values.T):
        told = np.sort(column[np.isfinite(column)])
        steps = np.arange(len(told) + 1) / max(len(told), 1)
        distance = max(np.max(steps[1:] - told, initial=0), np.max(told - steps[:-1], initial=0))
        if distance * len(told) ** 0.5 > _KOLMOGOROV:
            cause = "the predictions are not calibrated (or the values are counts); look at the picture"
            yield f"sensor {i}", f"PIT {distance:.3f} from uniform", cause


def _steps(tree):
    attrs = tree["filter"].attrs
    found = {name.removeprefix(_HALF): value for name, value in attrs.items() if name.startswith(_HALF)}
    words = objection(**found) if found else None
    if words:
        yield "steps", f"{attrs['steps']}", words


def findings(tree) -> Table:
    """What is wrong, the gravest first; no rows when nothing was found.

    Flags of the filter, divergences, R-hat above 1.01, bulk or tail ESS below 100 a chain, a step whose halving moves the
    log evidence by more than 1 nat or a parameter by a quarter of its sd, beyond three standard errors, and a PIT that a
    calibrated series shows once in 1,000.
    """
    groups = {"filter": (_flags, _steps, _calibration), "posterior": (_chains, _divergences)}
    checks = [check for group, several in groups.items() if group in tree.children for check in several]
    order = (_flags, _divergences, _chains, _steps, _calibration)
    rows = [row for check in sorted(checks, key=order.index) for row in check(tree)]
    return Table("Warnings" if rows else "Warnings: none", ("of", "found", "what to know"), rows)


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
    title = f"States after the last of {len(scores)} data, at {_cell(last['time'].values[()])}"
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
