"""Pictures show the numbers that they say they show."""

import numpy as np
import pytest
import xarray as xr

import filterlearn as fl
from filterlearn.diagnostics import pictures
from filterlearn.diagnostics.report import tables
from tests.cases import linear_data, linear_model

RNG = np.random.default_rng(0)
DAYS = np.datetime64("2020-01-01", "ns") + np.arange(40).astype("timedelta64[D]")
AHEAD = DAYS[-1] + np.arange(1, 6).astype("timedelta64[D]")


def draws(times, names):
    """Of each name, 2 chains of 50 draws of two columns."""
    arrays = {
        name: (("chain", "draw", "time", axis), RNG.normal(size=(2, 50, len(times), 2))) for name, axis in names.items()
    }
    return xr.Dataset(arrays, {"chain": range(2), "draw": range(50), "time": times})


@pytest.fixture(scope="module")
def tree():
    """All the groups that a picture reads, of two states and two sensors, with surprises."""
    pit = RNG.uniform(size=(40, 2))
    pit[20:26] = 1e-4
    both = lambda values, axis: (("time", axis), values)  # noqa: E731
    filtered = {"mean": both(RNG.normal(size=(40, 2)), "state"), "variance": both(np.ones((40, 2)), "state")}
    filtered |= {"predicted_mean": both(np.zeros((40, 2)), "sensor"), "predicted_variance": both(np.ones((40, 2)), "sensor")}
    filtered |= {
        "pit": both(pit, "sensor"),
        "log_evidence": ("time", RNG.normal(size=40)),
        "ess": ("time", np.full(40, np.nan)),
    }
    filtered |= {"flags": ("time", np.where(np.arange(40) == 23, 128, 0))}
    filtered |= {"parameter_rate": (("time", "level"), np.sort(RNG.normal(size=(40, 3))))}
    return xr.DataTree.from_dict(
        {
            "posterior": xr.Dataset({"rate": (("chain", "draw"), RNG.normal(size=(2, 50)))}),
            "observed_data": xr.Dataset({"y": both(RNG.normal(size=(40, 2)), "sensor")}, {"time": DAYS}),
            "filter": xr.Dataset(filtered, {"time": DAYS, "level": [0.05, 0.5, 0.95]}),
            "paths": draws(DAYS, {"x": "state"}),
            "posterior_predictive": draws(DAYS, {"y": "sensor"}),
            "predictions": draws(AHEAD, {"x": "state", "y": "sensor"}),
        }
    )


def heights(axes, which=-1):
    return np.asarray(axes.lines[which].get_ydata(), float)


def test_bands_are_quantiles_of_the_draws(tree):
    for plot, group, name, times in (
        (fl.plot_forecast, "predictions", "y", AHEAD),
        (fl.plot_predictive, "posterior_predictive", "y", DAYS),
        (fl.plot_smoother, "paths", "x", DAYS),
    ):
        figure = plot(tree)
        for i, axes in enumerate(figure.axes):
            values, line = tree[group][name].values[..., i], axes.lines[0 if plot is fl.plot_predictive else 1]
            np.testing.assert_allclose(line.get_ydata(), np.median(values, axis=(0, 1)))
            assert (line.get_xdata() == times).all()
            edges = [np.concatenate([path.vertices[:, 1] for path in each.get_paths()]) for each in axes.collections]
            ends = np.quantile(values, [0.05, 0.95], axis=(0, 1))
            assert any(np.allclose([each.min(), each.max()], [ends.min(), ends.max()]) for each in edges)


def test_the_surprise_is_the_wager(tree):
    """By its recursion, as it is published: begun anew after an alarm."""
    u, best, alarms, m = tree["filter"]["pit"].values, [], [], np.zeros(3)
    for row in u:
        small, large = np.mean(0.5 / np.sqrt(row)), np.mean(0.5 / np.sqrt(1 - row))
        m = (m + 1) * np.array([small, large, (small + large) / 2])
        alarms.append(m.mean() >= 100)
        best.append(100 if alarms[-1] else m.mean())
        m = m * (not alarms[-1])
    (axes,) = fl.plot_surprise(tree, fl.Wager(0.01)).axes
    np.testing.assert_allclose(heights(axes, 0), best, rtol=1e-6)
    assert any(alarms)
    marks = next(line for line in axes.lines if line.get_label() == "alarm")
    assert (marks.get_xdata() == DAYS[np.array(alarms)]).all()
    assert "learner surprised" in [line.get_label() for line in axes.lines]


def test_columns_of_ranks():
    """Of 60 draws in 20 columns of 3 or 4 ranks, over what is expected: one column holds all; missing ranks do not count."""
    rank = np.stack([np.repeat(np.arange(61), 10), np.where(np.arange(610) < 300, -1, 5)], axis=1)
    flat, peak = (axes.patches[0].get_data() for axes in fl.plot_ranks(rank, 60).axes)
    np.testing.assert_allclose(flat.values, 1.0)
    assert flat.edges[0] == -0.5
    assert flat.edges[-1] == 60.5
    assert np.count_nonzero(peak.values) == 1
    np.testing.assert_allclose(peak.values.max(), 61 / np.diff(peak.edges)[np.argmax(peak.values)])


def test_all_that_there_is_is_shown(tree):
    """Each group's pictures, with words; and the table of what is to come."""
    titles = [figure.get_suptitle() for figure in pictures.of(tree)]
    assert len(titles) == len(set(titles)) == 9
    ahead = tables(tree)[-1]
    assert ahead.title == "Data to come"
    assert len(ahead.rows) == 10
    assert ahead.rows[1][:2] == ("2020-02-10", "sensor 1")
    assert ahead.rows[1][3] == pytest.approx(np.median(tree["predictions"]["y"].values[:, :, 0, 1]))


def test_a_trajectory_is_shown_by_one_call(tree):
    data = linear_data(30)
    out = fl.run(fl.Kalman(), linear_model(), data)
    for plot in (fl.plot_states, fl.plot_observations, fl.plot_scores, fl.plot_pit, fl.plot_surprise):
        assert plot(out).axes
    np.testing.assert_allclose(heights(fl.plot_states(out).axes[1]), out.mean[:, 1])
    np.testing.assert_array_equal(heights(fl.plot_parameters(tree).axes[0]), tree["filter"]["parameter_rate"][:, 1])
    with pytest.raises(ValueError, match="source: no parameter bands; give a learner's trajectory and its family"):
        fl.plot_parameters(out)
