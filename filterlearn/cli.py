"""The command line: track or serve a stream, fit a series, report on either, run the demo."""

import contextlib
import importlib.util
import os
import signal
import sys
import traceback
import warnings
from pathlib import Path
from typing import Annotated, Literal

import cyclopts

app = cyclopts.App(
    name="filterlearn",
    help="""Filtering and online learning of stochastic differential equations.

    A model file is a Python file that defines `problem` (a StateSpaceModel or ModelFamily) and `algorithm` (a filter or
    learner); for `fit`, `problem` is a ModelFamily, and `method` (NUTS() and the like) may be defined too.
    """,
)

_MODULE = "filterlearn_model"


def _configure():
    """For this process only: double precision, a compile cache, and no thread between a datum and its step."""
    import jax

    jax.config.update("jax_enable_x64", True)
    jax.config.update("jax_cpu_enable_async_dispatch", False)
    if not jax.config.jax_compilation_cache_dir:
        home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        jax.config.update("jax_compilation_cache_dir", str(home / "filterlearn"))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)


@contextlib.contextmanager
def _blaming(path: Path):
    """An error that passes through the model file names the file and the line."""
    try:
        yield
    except SyntaxError as error:
        raise SystemExit(f"filterlearn: model: {path}, line {error.lineno}: {error.msg}") from error
    except Exception as error:
        frames = traceback.extract_tb(error.__traceback__)
        lines = [frame.lineno for frame in frames if frame.filename == str(path.resolve())]
        if not lines:
            raise
        raise SystemExit(
            f"filterlearn: model: {path}, line {lines[-1]}: {type(error).__name__}: {_one_line(error)}"
        ) from error


def _model(path: Path):
    """The module of a model file."""
    spec = importlib.util.spec_from_file_location(_MODULE, path.resolve())
    if spec is None or spec.loader is None or not path.is_file():
        raise ValueError(f"model: no Python file at {path}")
    module = importlib.util.module_from_spec(spec)
    sys.modules[_MODULE] = module  # dataclasses and modules look their own annotations up there
    sys.path.insert(0, str(path.resolve().parent))
    spec.loader.exec_module(module)
    for name in ("problem", "algorithm"):
        if not hasattr(module, name):
            raise ValueError(f"model: {path} must define `{name}`")
    return module


def _opened(data: str):
    if data == "-":
        return contextlib.nullcontext(sys.stdin)
    if not Path(data).is_file():
        raise ValueError(f"data: no file at {data}")
    return open(data, newline="", encoding="utf-8-sig")


def _zarr(out: Path | None) -> bool:
    """Whether an output is a store."""
    return out is not None and out.suffix == ".zarr"


def _names(columns: str | None) -> list[str] | None:
    return columns.split(",") if columns else None


@app.command
def track(
    model: Path,
    *,
    data: Annotated[str, cyclopts.Parameter(allow_leading_hyphen=True)],
    time: str,
    value: str,
    inputs: str | None = None,
    checkpoint: Path | None = None,
    out: Path | None = None,
    every: int = 100,
    seed: int = 0,
    unit: Literal["s", "m", "h", "D", "W"] | None = None,
    replay: int | None = None,
):
    """Stream a file (or - for standard input), one line of JSON for each observation.

    With a checkpoint, a run that Ctrl-C or a crash cut short goes on where it stopped, given the same data from their
    beginning: the output is the same, byte for byte, as without the interruption.

    :param model: Python file that defines `problem` and `algorithm`.
    :param data: CSV or JSON Lines file, or -.
    :param time: name of the time column: numbers, or ISO datetimes.
    :param value: names of the value columns, separated by commas; empty and null are missing.
    :param inputs: names of the input columns, separated by commas.
    :param checkpoint: file to resume from and to save to.
    :param out: JSON Lines file, or a zarr store where it ends in .zarr; standard output when absent.
    :param every: rows between checkpoints.
    :param seed: of the random numbers.
    :param unit: that datetimes are counted in: s, m, h, D (unless given) or W.
    :param replay: how many of the last rows a late one may take its place among; 0 unless given.
    """
    _configure()
    from tqdm import tqdm

    from filterlearn.clock import whole
    from filterlearn.data import rows as table
    from filterlearn.streams.follow import Stop, begun, stream
    from filterlearn.streams.lines import Lines
    from filterlearn.streams.store import Store

    whole("every", every, 1)
    with _blaming(model), _opened(data) as source:
        loaded, stop = _model(model), Stop()
        given = table(tqdm(source, unit=" lines", disable=None), time, _names(value), _names(inputs))
        session, offset, rows = begun(loaded, stop.until(given), checkpoint, seed, unit, replay)
        sink = Store(out, offset) if _zarr(out) else Lines(out, offset)
        with contextlib.closing(sink):
            stream(session, rows, sink, checkpoint, every)
    if stop.number:
        raise SystemExit(128 + stop.number)


@app.command
def serve(
    model: Path,
    *,
    time: str,
    value: str,
    inputs: str | None = None,
    id: str | None = None,
    follow: Path | None = None,
    checkpoint: Path | None = None,
    out: Path | None = None,
    quarantine: Path | None = None,
    every: int = 100,
    seed: int = 0,
    origin: str | None = None,
    unit: Literal["s", "m", "h", "D", "W"] | None = None,
    host: str | None = None,
    port: int = 8765,
):
    """Serve one stream: a live page at /, metrics for Prometheus at /metrics, data in at the WebSocket /observe.

    A message is a JSON object with the named fields, and its answer the report. On another host than this machine's own the
    environment variable FILTERLEARN_TOKEN must hold a token, which each request then brings.

    :param model: Python file that defines `problem` and `algorithm`.
    :param time: name of the time field: numbers, or with an origin ISO datetimes.
    :param value: names of the value fields, separated by commas.
    :param inputs: names of the input fields, separated by commas.
    :param id: name of the field that tells duplicates, among the last 10,000.
    :param follow: CSV or JSON Lines file to take data from as it grows, too.
    :param checkpoint: file to resume from and to save to.
    :param out: JSON Lines file, or a zarr store where it ends in .zarr.
    :param quarantine: JSON Lines file for what is refused, with the reason.
    :param every: arrivals between checkpoints.
    :param seed: of the random numbers.
    :param origin: ISO datetime that times are counted from.
    :param unit: that datetimes are counted in: s, m, h, D (unless given) or W.
    :param host: address to listen on; 127.0.0.1 unless given.
    :param port: to listen on; 0 for a free one.
    """
    _configure()
    from filterlearn.clock import whole
    from filterlearn.streams.serving import served
    from filterlearn.streams.sources.base import Columns

    whole("every", every, 1)
    columns = Columns(time, _names(value) or [], _names(inputs), id)
    with _blaming(model):
        files = {"out": out, "checkpoint": checkpoint, "quarantine": quarantine, "follow": follow}
        clock = {"origin": origin, "unit": unit}
        served(_model(model), columns, host or "127.0.0.1", port, every=every, seed=seed, **files, **clock)


def _fitted(algorithm, family):
    """What `fit` is given: a `Joint` learner filters the moving parameters while the static ones are sampled; where there are
    not both kinds, or with another learner, the filter inside takes all as static."""
    import filterlearn as fl

    both = 0 < len(family.moving) < len(family.names)
    return algorithm if isinstance(algorithm, fl.Joint) and both else getattr(algorithm, "filter", algorithm)


@app.command
def fit(
    model: Path,
    *,
    data: Path,
    time: str,
    value: str,
    inputs: str | None = None,
    out: Path | None = None,
    seed: int = 0,
    unit: Literal["s", "m", "h", "D", "W"] | None = None,
):
    """Draw from the posterior of a family's parameters; print warnings and the summary, write netCDF.

    A `Joint` learner filters the parameters that move and samples the others; the filter inside any other learner is used
    alone, with every parameter static.

    :param model: Python file that defines `problem` (a ModelFamily) and `algorithm`; `method` if it wants one.
    :param data: CSV or JSON Lines file.
    :param time: name of the time column: numbers, or ISO datetimes.
    :param value: names of the value columns, separated by commas; empty and null are missing.
    :param inputs: names of the input columns, separated by commas.
    :param out: netCDF file, or a zarr store where it ends in .zarr; `report` reads both.
    :param seed: of the random numbers.
    :param unit: that datetimes are counted in: s, m, h, D (unless given) or W.
    """
    _configure()
    import jax

    import filterlearn as fl
    from filterlearn.diagnostics.report import tables

    if not data.is_file():
        raise ValueError(f"data: no file at {data}")
    with _blaming(model):
        loaded = _model(model)
        if not isinstance(loaded.problem, fl.ModelFamily):
            raise ValueError(f"model: a ModelFamily is needed as `problem`, got {type(loaded.problem).__name__}")
        series = fl.Dataset.from_csv(data, time=time, value=_names(value), inputs=_names(inputs), unit=unit or "D")
        algorithm = _fitted(loaded.algorithm, loaded.problem)
        tree = fl.fit(loaded.problem, series, algorithm, getattr(loaded, "method", None), key=jax.random.key(seed))
    print(*tables(tree), sep="\n\n")
    if out is not None:
        (tree.to_zarr if _zarr(out) else tree.to_netcdf)(out)


@app.command
def report(file: Path, *, out: Path | None = None):
    """Print warnings and tables, and write them with pictures as one HTML page.

    :param file: netCDF file or zarr store of `fit`, `track` or `to_datatree`, or the JSON Lines of `track`.
    :param out: HTML file; beside `file` when absent.
    """
    from filterlearn.diagnostics.report import page, tables

    tree, path = _tree(file), out or file.with_suffix(".html")
    print(*tables(tree), sep="\n\n")
    path.write_text(page(tree, file.name), encoding="utf-8")
    print(f"\nWritten to {path}")


def _tree(file: Path):
    """The DataTree in a zarr store, or in a file, told apart by its first byte."""
    import xarray as xr

    from filterlearn.diagnostics.results import rows_to_datatree
    from filterlearn.streams.lines import read

    if not file.exists():
        raise ValueError(f"file: no file at {file}")
    if file.is_file():
        with open(file, "rb") as start:
            lines = start.read(1) == b"{"
        if lines:
            return rows_to_datatree(read(file))
    try:
        store = file.is_dir()
        tree = xr.open_datatree(file, engine="zarr", consolidated=False) if store else xr.open_datatree(file)
    except (ValueError, OSError) as error:
        raise ValueError(f"file: {file} is neither netCDF, nor zarr, nor an output of `track`") from error
    if not {"posterior", "filter"} & set(tree.children):
        raise ValueError(f"file: {file} has neither a group `posterior` nor `filter`; write it by `fit` or `to_datatree`")
    return tree


@app.command
def demo(*, out: Path = Path("demo_output"), keys: int = 5):
    """Track the volatility of the S&P 500 with jumps, leverage and a moving level; then fit the last 1,000 days.

    :param out: folder for the beliefs, the checkpoint and the picture.
    :param keys: how many random keys are scored.
    """
    from filterlearn.demo import main as run_demo

    run_demo(out, keys)


def _one_line(error) -> str:
    return " ".join(str(error).split())


def _warning(message: Warning | str, category: type[Warning], filename: str, lineno: int, line: str | None = None) -> str:
    return f"filterlearn: warning: {_one_line(message)}\n"


def main():
    """The entry point: what a user can mend is one line, and the exit status is not 0."""
    warnings.filterwarnings("default", module="filterlearn")
    warnings.formatwarning = _warning  # ty: ignore[invalid-assignment]
    try:
        app(exit_on_error=False, print_error=False)
    except KeyboardInterrupt:
        raise SystemExit(128 + signal.SIGINT) from None
    except BrokenPipeError:  # who read the output has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(1) from None
    except (cyclopts.CycloptsError, ValueError, TypeError, ImportError, OSError, FloatingPointError) as error:
        raise SystemExit(f"filterlearn: {_one_line(error)}") from error
