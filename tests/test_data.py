"""A Dataset from tables of every kind, and what is refused."""

from datetime import UTC, datetime

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
import xarray as xr

import filterlearn as fl

DAYS = np.array(["2020-01-01", "2020-01-02", "2020-01-05"], "datetime64[D]")
ZONED = datetime(2020, 1, 1, tzinfo=UTC)
TABLE = pd.DataFrame({"when": DAYS, "y": [1.0, np.nan, 3.0], "z": [4, 5, 6], "u": [7.0, 8.0, 9.0]})
CUBE = xr.Dataset(
    {
        "y": ("time", [1.0, np.nan, 3.0]),
        "pair": (("time", "sensor"), np.arange(6.0).reshape(3, 2)),
        "u": ("time", [7.0, 8.0, 9.0]),
    },
    {"time": DAYS},
)


def same(data, times, values, inputs=None):
    np.testing.assert_array_equal(data.times, times)
    np.testing.assert_array_equal(data.values, values)
    assert (data.inputs is None) == (inputs is None)
    if inputs is not None:
        np.testing.assert_array_equal(data.inputs, inputs)


def test_pandas():
    both = [[1, 4], [np.nan, 5], [3, 6]]
    same(fl.Dataset.from_pandas(TABLE, time="when", inputs="u"), [0, 1, 4], both, [[7], [8], [9]])
    same(fl.Dataset.from_pandas(TABLE.set_index("when"), value=["y", "z"]), [0, 1, 4], both)
    same(fl.Dataset.from_pandas(TABLE.set_index("when").y, unit="h"), [0, 24, 96], np.array(both)[:, :1])
    nullable = TABLE.assign(y=pd.array([1, None, 3], dtype="Int64"))
    same(fl.Dataset.from_pandas(nullable, time="when", value="y"), [0, 1, 4], np.array(both)[:, :1])


def test_xarray():
    y = [[1], [np.nan], [3]]
    same(fl.Dataset.from_xarray(CUBE.y), [0, 1, 4], y)
    same(fl.Dataset.from_xarray(CUBE.pair.T, unit="h"), [0, 24, 96], [[0, 1], [2, 3], [4, 5]])
    same(fl.Dataset.from_xarray(CUBE, value=["y", "pair"], inputs="u"), [0, 1, 4], np.c_[y, CUBE.pair], [[7], [8], [9]])
    same(fl.Dataset.from_xarray(CUBE.rename(time="day"), value="y", time="day"), [0, 1, 4], y)


def test_time_zones_become_utc():
    """Midnight in Oslo is 23 h in UTC; across the change to summer time a day has 23 hours."""
    oslo = pd.date_range("2020-03-28", periods=3, tz="Europe/Oslo")
    series = pd.Series([1.0, 2.0, 3.0], index=oslo)
    for data in (
        fl.Dataset.from_pandas(series, unit="h"),
        fl.Dataset.from_pandas(series.rename_axis("t").reset_index(), time="t", unit="h"),
        fl.Dataset(list(oslo.to_pydatetime()), [1.0, 2.0, 3.0], unit="h"),
    ):
        np.testing.assert_array_equal(data.times, [0, 24, 47])
        assert np.datetime64(data.origin) == np.datetime64("2020-03-27T23:00")


def test_datetimes_are_subtracted_before_they_are_rounded(monkeypatch):
    """In single precision seconds since 1970 are told apart to 128; seconds since the first time exactly."""
    stamps = np.datetime64("2024-05-05T12:00:00") + np.array([0, 1, 1, 5], "timedelta64[s]")
    with jax.enable_x64(False):
        data = fl.Dataset(stamps, np.zeros(4), unit="s")
        assert data.times.dtype == np.float32
        np.testing.assert_array_equal(data.times, [0, 1, 1, 5])
        with pytest.raises(ValueError, match="times: row 1 cannot be told from the row before in float32"):
            fl.Dataset(stamps.astype("datetime64[s]").astype(float), np.zeros(4))


def test_files(tmp_path):
    (tmp_path / "a.csv").write_text("t,y,u\n2020-01-01,1,7\n2020-01-02,,8\n")
    (tmp_path / "a.jsonl").write_text('{"t": 0, "y": 1, "u": 7}\n{"t": 1, "y": null, "u": 8}\n')
    same(fl.Dataset.from_csv(tmp_path / "a.csv", time="t", value="y", inputs="u"), [0, 1], [[1], [np.nan]], [[7], [8]])
    same(fl.Dataset.from_jsonl(tmp_path / "a.jsonl", time="t", value=["y"], inputs="u"), [0, 1], [[1], [np.nan]], [[7], [8]])


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: fl.Dataset.from_pandas(TABLE, time="day"), "day: no such column; the table has"),
        (lambda: fl.Dataset.from_pandas(TABLE, time="when", value="x"), "x: no such column"),
        (lambda: fl.Dataset.from_pandas(TABLE.assign(y="a"), time="when"), "y: numbers are needed"),
        (lambda: fl.Dataset.from_xarray(CUBE), "value: the name of a variable is needed"),
        (lambda: fl.Dataset.from_xarray(CUBE.y, time="t"), "t: no such dimension"),
        (lambda: fl.Dataset.from_xarray(CUBE, value="v"), "v: no such column"),
        (lambda: fl.Dataset([ZONED, ZONED.replace(tzinfo=None)], [1.0, 2.0]), "times: some have a time zone"),
        (lambda: fl.Dataset(np.zeros((2, 2)), [1.0, 2.0]), "times: one dimension"),
        (lambda: fl.Dataset(pd.to_datetime(["2020-01-01", None]).to_numpy(), [1.0, 2.0]), "times: a datetime is missing"),
        (lambda: fl.Dataset(DAYS, [1.0, 2.0, 3.0], unit="Y"), "unit: one of"),
        (lambda: fl.Dataset(DAYS[::-1], [1.0, 2.0, 3.0]), "times: decreasing at row 1"),
        (lambda: fl.Dataset([0.0, 1.0], [1.0, 2.0], [1.0, np.nan]), "inputs: not finite"),
        (lambda: fl.Dataset([0.0, 1.0], [1.0, 2.0], [[1.0], [1.0, 2.0]]), "inputs: the rows have unequal lengths"),
    ],
)
def test_refused_by_name(make, words):
    with pytest.raises((ValueError, TypeError), match=words) as caught:
        make()
    assert "\n" not in str(caught.value)


def test_a_dataset_can_be_made_inside_a_trace():
    """As constants of the traced function, inputs too."""

    @jax.jit
    def value(x):
        data = fl.Dataset([0.0, 1.0], [1.0, 2.0], fl.Held([0.0], [3.0]))
        return x + data.values[1, 0] + data.inputs(0.5)

    assert value(1.0) == 6.0


def test_lists_beside_traced_values_become_arrays():
    model = fl.StateSpaceModel(
        fl.Gaussian([0.0], 1.0, time=0.0), fl.LinearSDE([[-1.0]], [[1.0]]), fl.LinearGaussianObservation([[1.0]], [[1.0]])
    )
    values = jnp.array([[0.1, -0.2], [0.4, 0.3]])
    found = jax.vmap(lambda v: fl.log_evidence(fl.Kalman(), model, fl.Dataset([0.5, 1.5], v)))(values)
    for row, one in zip(values, found, strict=True):
        np.testing.assert_allclose(one, fl.log_evidence(fl.Kalman(), model, fl.Dataset([0.5, 1.5], row)), rtol=1e-12)
