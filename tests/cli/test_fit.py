"""fit, then report; report of what track wrote."""

import re

import numpy as np
import pytest
import xarray as xr

from filterlearn.diagnostics.results import rows_to_datatree
from filterlearn.streams.lines import read
from tests.cli.command import finished

MODEL = """
import jax.numpy as jnp
import numpyro.distributions as dist

import filterlearn as fl


def build(p):
    sde = fl.SDE(lambda t, x, u: p["rate"] * (p["level"] + u - x), jnp.array([0.5]))
    seen = fl.GaussianObservation(lambda t, x, u: x, [[0.1]])
    return fl.StateSpaceModel(fl.Gaussian([0.0], 1.0), fl.EulerMaruyama(sde, steps=2), seen)


rate = fl.Parameter(dist.LogNormal(0.0, 0.5))
level = fl.Parameter(dist.Normal(0.0, 1.0), fl.RandomWalk(0.05))
problem = fl.ModelFamily(build, {"rate": rate, "level": level})
algorithm = fl.Joint(fl.ExtendedKalman())
method = fl.NUTS(20, 20, 2)
"""
COLUMNS = ("--time", "t", "--value", "y", "--inputs", "u")


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    here, rng = tmp_path_factory.mktemp("fit"), np.random.default_rng(0)
    (here / "model.py").write_text(MODEL)
    days = np.datetime64("2020-01-01") + np.arange(60)
    rows = [f"{day},{'' if k % 9 == 4 else f'{rng.normal():.3f}'},{rng.normal():.3f}\n" for k, day in enumerate(days)]
    (here / "data.csv").write_text("t,y,u\n" + "".join(rows))
    cells = [row.strip().split(",") for row in rows]
    lines = [f'{{"t": "{t}", "y": {y or "null"}, "u": {u}}}\n' for t, y, u in cells]
    (here / "data.jsonl").write_text("".join(lines))
    return here


def is_a_page(path, images):
    """Self-contained: every picture is inside, and nothing is fetched."""
    text = path.read_text()
    return len(re.findall('src="data:image/png;base64,', text)) == text.count("src=") == images and "http" not in text


def test_fit_then_report(folder, cache):
    """With `Joint` the moving parameter is filtered and the other sampled; warnings come first; both formats fit alike."""
    printed = []
    for kind, file in (("csv", "csv.nc"), ("jsonl", "jsonl.zarr")):
        words = ("fit", "model.py", "--data", f"data.{kind}", *COLUMNS, "--out", file)
        status, out, _ = finished(folder, cache, *words)
        assert status == 0
        printed.append(out)
    assert printed[0] == printed[1]
    assert printed[0].startswith("Warnings\n")  # 20 draws cannot mix
    assert "bulk ESS" in printed[0]
    tree = xr.open_datatree(folder / "csv.nc")
    xr.testing.assert_equal(tree, xr.open_datatree(folder / "jsonl.zarr", engine="zarr"))
    assert list(tree["posterior"].data_vars) == ["rate"]
    assert "parameter_level" in tree["filter"].data_vars
    assert tree["constant_data"]["inputs"].shape == (60, 1)
    status, out, err = finished(folder, cache, "report", "csv.nc")
    assert (status, err) == (0, "")
    assert out == printed[0] + "\nWritten to csv.html\n"
    assert is_a_page(folder / "csv.html", 7)


def test_another_learner_is_fitted_by_its_filter(folder, cache):
    (folder / "nested.py").write_text(MODEL.replace("fl.Joint(fl.ExtendedKalman())", "fl.Nested(fl.ExtendedKalman(), 8)"))
    words = ("fit", "nested.py", "--data", "data.csv", *COLUMNS, "--out", "nested.nc")
    status, _, err = finished(folder, cache, *words)
    assert status == 0
    assert "filterlearn: warning: fit treats the moving parameters ['level'] as static" in err
    assert set(xr.open_datatree(folder / "nested.nc")["posterior"].data_vars) == {"rate", "level"}


def test_report_of_a_stream(folder, cache):
    track = ("track", "model.py", "--data", "data.csv", *COLUMNS, "--out", "stream.jsonl")
    assert finished(folder, cache, *track)[0] == 0
    with open(folder / "stream.jsonl", "a") as file:
        file.write('{"time": "2020-')  # another line is being written
    assert finished(folder, cache, *track[:-1], "stream.zarr")[0] == 0
    store = xr.open_datatree(folder / "stream.zarr", engine="zarr", consolidated=False)
    xr.testing.assert_equal(store, rows_to_datatree(read(folder / "stream.jsonl")))
    status, out, err = finished(folder, cache, "report", "stream.jsonl", "--out", "page.html")
    assert (status, err) == (0, "")
    assert out.startswith("Warnings\n")  # the data are wider than the model says
    assert "sensor 0  NIS" in out
    assert "States after the last of 60 data, at 2020-02-29\n" in out
    assert is_a_page(folder / "page.html", 6)


BAD = {
    "no file": ("absent.nc", None, "file: no file at absent.nc"),
    "text": ("text.nc", "hello", "file: text.nc is neither netCDF, nor zarr, nor an output of `track`"),
    "other lines": ("other.jsonl", '{"a": 1}\n', "source: a row has no 'time'"),
    "no rows": ("torn.jsonl", '{"time"', "source: an empty log"),
    "not JSON": ("broken.jsonl", "{a}\n", "file: line 1 of broken.jsonl is not JSON"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_cannot_be_reported_is_refused_in_one_line(folder, cache, name):
    file, text, said = BAD[name]
    if text is not None:
        (folder / file).write_text(text)
    status, _, err = finished(folder, cache, "report", file)
    assert status == 1
    assert err.count("\n") == 1
    assert err.startswith(f"filterlearn: {said}")


def test_netcdf_without_the_groups_is_refused(folder, cache):
    xr.Dataset({"a": ("x", [1.0])}).to_netcdf(folder / "plain.nc")
    status, _, err = finished(folder, cache, "report", "plain.nc")
    assert (status, err.count("\n")) == (1, 1)
    assert "has neither a group `posterior` nor `filter`" in err


def test_a_model_without_a_family_is_refused(folder, cache):
    (folder / "plain.py").write_text(MODEL + "problem = problem(problem.median)\n")
    status, _, err = finished(folder, cache, "fit", "plain.py", "--data", "data.csv", *COLUMNS)
    assert (status, err) == (1, "filterlearn: model: a ModelFamily is needed as `problem`, got BoundFamily\n")
