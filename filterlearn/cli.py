"""The command line: track a stream, fit a series, run the demo."""

import csv
import importlib.util
import json
import os
import signal
import sys
import warnings
from pathlib import Path

import cyclopts

app = cyclopts.App(
    name="filterlearn",
    help="""Filtering and online learning of stochastic differential equations.

    A model file is a Python file that defines `problem` (a StateSpaceModel or ModelFamily), `algorithm` (a filter or learner)
    and, for `fit`, optionally `method`. With a learner, `fit` uses the filter inside it.
    """,
)


def _configure():
    import jax

    jax.config.update("jax_enable_x64", True)


def _model(path: Path):
    spec = importlib.util.spec_from_file_location("filterlearn_model", path)
    if spec is None or spec.loader is None or not path.exists():
        raise SystemExit(f"filterlearn: model: no Python file at {path}")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    for name in ("problem", "algorithm"):
        if not hasattr(module, name):
            raise SystemExit(f"filterlearn: model: {path} must define `{name}`")
    return module


def _rows(file, time: str, columns: list[str]):
    """(time, values) of each row of CSV or JSON Lines, told apart by the first character."""
    from filterlearn.data import number

    first = file.readline()
    if first.lstrip().startswith("{"):
        for line in (first, *file):
            row = json.loads(line)
            yield row[time], [float("nan") if row.get(c) is None else float(row[c]) for c in columns]
        return
    names = next(csv.reader([first]))
    if absent := [c for c in [time, *columns] if c not in names]:
        raise SystemExit(f"filterlearn: {absent[0]}: no such column; the file has {names}")
    for cells in csv.DictReader(file, names):
        stamp = cells[time]
        try:
            stamp = float(stamp)
        except ValueError:
            stamp = stamp.strip()
        yield stamp, [number(cells[c]) for c in columns]


def _line(time, report) -> str:
    named = {name: {k: v.tolist() for k, v in bands.items()} for name, bands in report.parameters.items()}
    row = {"time": time, "mean": report.mean.tolist(), "variance": report.covariance.diagonal().tolist()}
    return json.dumps({**row, "log_evidence": report.log_evidence, "parameters": named, "flags": report.flags}) + "\n"


def _session(model, checkpoint: Path | None, seed: int, first):
    """A new session, or the one in the checkpoint; with the offset of the output that belongs to it."""
    import jax

    from filterlearn.streams.session import Session

    if checkpoint is not None and checkpoint.exists():
        session = Session.load(checkpoint, model.algorithm, model.problem)
        return session, session.meta["offset"]
    origin = None if isinstance(first, float | int) else first
    return Session(model.algorithm, model.problem, key=jax.random.key(seed), origin=origin, unit="D"), 0


@app.command
def track(
    model: Path,
    *,
    data: str,
    time: str,
    value: str,
    checkpoint: Path | None = None,
    out: Path | None = None,
    every: int = 100,
    seed: int = 0,
):
    """Stream a file (or - for standard input), one line of JSON for each observation.

    With a checkpoint, an interrupted run goes on where it stopped: the output is the same as without the interruption.

    Parameters
    ----------
    model: Python file that defines `problem` and `algorithm`.
    data: CSV or JSON Lines file, or -.
    time: name of the time column (numbers, or ISO dates counted in days).
    value: names of the value columns, separated by commas.
    checkpoint: file to resume from and to save to.
    out: JSON Lines file; standard output when absent.
    every: rows between checkpoints.
    seed: of the random numbers.
    """
    _configure()
    from tqdm import tqdm

    loaded, stop = _model(model), []
    source = sys.stdin if data == "-" else open(data, newline="")  # noqa: SIM115
    rows = _rows(source, time, value.split(","))
    signal.signal(signal.SIGINT, lambda *_: stop.append(True))
    session = sink = None

    def keep():
        if session is not None and sink is not None:
            sink.flush()
            if out is not None:
                os.fsync(sink.fileno())
            if checkpoint is not None:
                session.save(checkpoint, offset=sink.tell() if out is not None else 0)

    for k, (stamp, values) in enumerate(tqdm(rows, unit="obs", disable=not sys.stderr.isatty())):
        if session is None or sink is None:
            session, offset = _session(loaded, checkpoint, seed, stamp)
            sink = _open(out, offset)
        if k < session.count:
            continue
        sink.write(_line(stamp, session.observe(stamp, values)))
        if session.count % every == 0:
            keep()
        if stop:
            break
    keep()
    if stop:
        raise SystemExit(130)


def _open(out: Path | None, offset: int):
    """The output, cut back to what the checkpoint knows."""
    if out is None:
        return sys.stdout
    file = open(out, "r+" if offset else "w")  # noqa: SIM115
    file.seek(offset)
    file.truncate()
    return file


@app.command
def fit(model: Path, *, data: Path, time: str, value: str, out: Path | None = None, seed: int = 0):
    """Draw from the posterior of a family's parameters; print the summary, write netCDF.

    Parameters
    ----------
    model: Python file that defines `problem` (a family) and `algorithm`; `method` if it wants one.
    data: CSV file.
    time: name of the time column.
    value: names of the value columns, separated by commas.
    out: netCDF file.
    seed: of the random numbers.
    """
    _configure()
    import arviz as az
    import jax

    import filterlearn as fl

    loaded = _model(model)
    series = fl.Dataset.from_csv(data, time=time, value=value.split(","))
    algorithm = getattr(loaded.algorithm, "filter", loaded.algorithm)
    tree = fl.fit(loaded.problem, series, algorithm, getattr(loaded, "method", None), key=jax.random.key(seed))
    print(az.summary(tree))
    if out is not None:
        tree.to_netcdf(out)


@app.command
def demo(*, out: Path = Path("demo_output"), keys: int = 5):
    """Track the volatility of the S&P 500 with jumps, leverage and a moving level; then fit the last 1,000 days.

    Parameters
    ----------
    out: folder for the beliefs, the checkpoint and the picture.
    keys: how many random keys are scored.
    """
    from filterlearn.demo import main as run_demo

    run_demo(out, keys)


def main():
    """The entry point: errors that a user can mend are one line."""
    warnings.filterwarnings("default", module="filterlearn")
    try:
        app()
    except (ValueError, TypeError, ImportError, FileNotFoundError) as error:
        raise SystemExit(f"filterlearn: {error}") from error
