"""Pictures of draws: paths, data drawn anew, the future."""

import numpy as np
from matplotlib.figure import Figure

from filterlearn.diagnostics.panels import band, dots, normal_band, panels

_LEVELS = (0.05, 0.25, 0.5, 0.75, 0.95)
_PAST = 3  # data before the future, over those in it


def _quantiles(draws):
    """`(T, columns, 5)` of `(chain, draw, time, columns)`."""
    return np.moveaxis(np.quantile(draws.values, _LEVELS, axis=(0, 1)), 0, -1)


def _fan(axes, times, quantiles, colour, label=None):
    band(axes, times, quantiles[:, ::2], colour, label=label)
    axes.fill_between(times, quantiles[:, 1], quantiles[:, 3], color=colour, alpha=0.3, linewidth=0)


def plot_forecast(tree) -> Figure:
    """The data to come of a tree of `with_predictions`: median, 50 and 90 % bands of each sensor, after the last data."""
    future, past = tree["predictions"], tree["observed_data"]["y"]
    quantiles, kept = _quantiles(future["y"]), max(_PAST * future.sizes["time"], 20)
    figure, axes = panels(quantiles.shape[1], "Forecast: median, 50 % and 90 % of the data to come", height=2.2)
    for i, each in enumerate(axes[:, 0]):
        dots(each, past["time"].values[-kept:], past.values[-kept:, i])
        _fan(each, future["time"].values, quantiles[:, i], "C1")
        each.set_ylabel(f"sensor {i}")
    return figure


def plot_predictive(tree) -> Figure:
    """The data inside the 50 and 90 % bands of the data drawn anew, of a tree of `with_paths`."""
    again, y = tree["posterior_predictive"]["y"], tree["observed_data"]["y"].values
    quantiles = _quantiles(again)
    figure, axes = panels(y.shape[1], "Data, and data drawn anew from the posterior: median, 50 %, 90 %")
    for i, each in enumerate(axes[:, 0]):
        _fan(each, again["time"].values, quantiles[:, i], "C4")
        dots(each, again["time"].values, y[:, i])
        each.set_ylabel(f"sensor {i}")
    return figure


def plot_smoother(tree) -> Figure:
    """Each state given the data so far, at the posterior median, and given all of them, over the posterior: 90 % bands, of a
    tree of `with_paths`."""
    filtered, paths = tree["filter"], tree["paths"]["x"]
    quantiles = _quantiles(paths)
    figure, axes = panels(quantiles.shape[1], "States, 90 %: the filter's, and given all the data")
    for i, each in enumerate(axes[:, 0]):
        mean, variance = filtered["mean"].values[:, i], filtered["variance"].values[:, i]
        normal_band(each, filtered["time"].values, mean, variance, "C0", "filter")
        band(each, paths["time"].values, quantiles[:, i, ::2], "C3", label="all the data")
        each.set_ylabel(f"state {i}")
    axes[0, 0].legend(frameon=False, ncols=2)
    return figure
