"""Pictures of any filtered series or fit, from its DataTree."""

import numpy as np
from matplotlib.figure import Figure

from filterlearn.diagnostics.plots import band

_MOST = 8  # panels in a picture
_Z = 1.6449  # half the width of a central 90 % interval of a normal law, in sds
_BINS = 20


def _panels(count, title, *, across=1, height=1.8):
    """(figure, axes of the first panels): one under the other on one horizontal axis, or `across` side by side."""
    shown = min(count, _MOST)
    figure = Figure(figsize=(10, 0.6 + height * shown), layout="constrained")
    axes = figure.subplots(shown, across, sharex=across == 1, squeeze=False)
    for each in axes.flat:
        each.margins(x=0.01)
    figure.suptitle(title if shown == count else f"{title}: the first {shown} of {count}")
    return figure, axes


def _normal(axes, times, mean, variance, colour, label):
    sd = np.sqrt(variance)
    band(axes, times, np.stack([mean - _Z * sd, mean, mean + _Z * sd], axis=1), colour, label=label)


def _entries(dataset):
    """(name, `(time or chain, level or draw)`) of each scalar entry of the variables of a dataset."""
    for name, array in dataset.data_vars.items():
        values = array.values.reshape(*array.shape[:2], -1)
        for i in range(values.shape[2]):
            yield f"{name.removeprefix('parameter_')}{f'[{i}]' if array.ndim > 2 else ''}", values[:, :, i]


def states(tree) -> Figure:
    """Each state's mean with its 90 % band (of a normal law with its variance) over time."""
    filtered = tree["filter"]
    mean, variance = filtered["mean"].values, filtered["variance"].values
    figure, axes = _panels(mean.shape[1], "States: mean, 90 %")
    for i, each in enumerate(axes[:, 0]):
        _normal(each, filtered["time"].values, mean[:, i], variance[:, i], "C0", None)
        each.set_ylabel(f"state {i}")
    return figure


def observations(tree) -> Figure:
    """Each sensor's values, and what was predicted of them one step before."""
    filtered, y = tree["filter"], tree["observed_data"]["y"].values
    mean, variance = filtered["predicted_mean"].values, filtered["predicted_variance"].values
    figure, axes = _panels(y.shape[1], "Observations, and their one-step prediction: mean, 90 %")
    for i, each in enumerate(axes[:, 0]):
        _normal(each, filtered["time"].values, mean[:, i], variance[:, i], "C1", None)
        each.plot(filtered["time"].values, y[:, i], ".", color="0.2", markersize=2)
        each.set_ylabel(f"sensor {i}")
    return figure


def parameter_bands(tree) -> Figure:
    """Each moving parameter's median with its 90 % band over time."""
    filtered = tree["filter"].dataset
    bands = list(_entries(filtered[[name for name in filtered if name.startswith("parameter_")]]))
    figure, axes = _panels(len(bands), "Parameters: median, 90 %")
    for each, (name, quantiles) in zip(axes[:, 0], bands, strict=False):
        band(each, filtered["time"].values, quantiles, "C2")
        each.set_ylabel(name)
    return figure


def log_scores(tree) -> np.ndarray:
    """The one-step log scores `(T,)`, NaN where nothing was observed or the score is not finite."""
    values, seen = tree["filter"]["log_evidence"].values, np.isfinite(tree["observed_data"]["y"].values).any(axis=1)
    return np.where(seen & np.isfinite(values), values, np.nan)


def scores(tree) -> Figure:
    """The one-step log score over time, and its mean so far."""
    times, values = tree["filter"]["time"].values, log_scores(tree)
    figure, axes = _panels(1, "One-step log score", height=2.4)
    running = np.nancumsum(values) / np.maximum(np.cumsum(np.isfinite(values)), 1)
    axes[0, 0].plot(times, values, color="C3", linewidth=0.6)
    axes[0, 0].plot(times, running, color="0.2", linewidth=1.0, label="mean so far")
    axes[0, 0].legend(frameon=False)
    return figure


def pits(tree) -> Figure:
    """Histograms of the predictive distribution functions at the values: flat when the predictions are calibrated, with
    the 99 % interval of each count."""
    values = tree["filter"]["pit"].values
    figure, axes = _panels(values.shape[1], "PIT: flat when calibrated (grey: 99 % of each count)")
    for i, each in enumerate(axes[:, 0]):
        told = values[np.isfinite(values[:, i]), i]
        expected = len(told) / _BINS
        spread = 2.5758 * np.sqrt(expected * (1 - 1 / _BINS))
        each.hist(told, bins=_BINS, range=(0, 1), color="C0", alpha=0.7)
        each.axhspan(max(expected - spread, 0), expected + spread, color="0.5", alpha=0.3)
        each.set_ylabel(f"sensor {i}")
    return figure


def traces(tree) -> Figure:
    """Each sampled parameter: the draws of each chain in order, and their histogram."""
    draws = list(_entries(tree["posterior"].dataset))
    figure, axes = _panels(len(draws), "Draws by chain", across=2)
    for row, (name, chains) in zip(axes, draws, strict=False):
        for chain in chains:
            row[0].plot(chain, linewidth=0.5)
            row[1].hist(chain, bins=40, histtype="step", density=True)
        row[0].set_ylabel(name)
    return figure


def of(tree) -> list[Figure]:
    """The pictures that a DataTree of `fit` or `to_datatree` has the groups for."""
    made = [traces(tree)] if "posterior" in tree.children else []
    if "filter" not in tree.children:
        return made
    moving = any(name.startswith("parameter_") for name in tree["filter"].data_vars)
    return [*made, *([parameter_bands(tree)] if moving else []), states(tree), observations(tree), scores(tree), pits(tree)]
