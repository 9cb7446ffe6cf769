"""A log that grows in a store is the whole log."""

import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr

import filterlearn as fl

pytest.importorskip("zarr")
RNG = np.random.default_rng(0)
FIRST = np.datetime64("2020-01-01T00:00:00.123456789")


def report(k, dated):
    """Of the k-th datum, two sensors, a parameter, and what is not known."""
    value = np.array([RNG.normal(), np.nan if k % 4 == 1 else 1.0])
    info = fl.Info(
        jnp.asarray(-1.0 * k), (jnp.asarray(value), jnp.ones(2)), jnp.asarray([0.5, np.nan]), jnp.asarray(np.nan), 0
    )
    time = FIRST + k * np.timedelta64(86_400_000_000_007, "ns") if dated else 0.1 * k
    bands = {"rate": {"mean": np.array(1.0), "sd": np.array(1.0), "quantiles": RNG.normal(size=3)}}
    return fl.Report(time, value, RNG.normal(size=3), np.eye(3), -1.0 * k, bands, ("late",) * (k % 2), info)


def read(path):
    with xr.open_datatree(path, engine="zarr", consolidated=False) as tree:
        return tree.load()


@pytest.mark.parametrize("dated", [False, True])
def test_chunks_make_the_whole(tmp_path, dated):
    """To the bit and the nanosecond, whichever the chunks; what is cut off is written again."""
    log, path = [report(k, dated) for k in range(12)], tmp_path / "log.zarr"
    store = fl.Store(path)
    for k, each in enumerate(log):
        store.write(each)
        if k in (0, 4, 5):
            assert store.sync() == k + 1
            xr.testing.assert_identical(read(path), fl.to_datatree(log[: k + 1]))
    store.close()
    xr.testing.assert_identical(read(path), fl.to_datatree(log))

    again = fl.Store(path, 7)
    xr.testing.assert_identical(read(path), fl.to_datatree(log[:7]))
    again.write(log[7])
    again.close()
    more = fl.Store(path)
    for each in log[8:]:
        more.write(each)
    assert more.sync() == 12
    xr.testing.assert_identical(read(path), fl.to_datatree(log))

    with pytest.raises(ValueError, match=r"path: .*log.zarr has 12 rows, the checkpoint knows of 13"):
        fl.Store(path, 13)
    assert fl.Store(path, 0).sync() == 0
