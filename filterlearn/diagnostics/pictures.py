"""Pictures of any filtered series or fit, from its DataTree."""

import numpy as np
from matplotlib.figure import Figure

from filterlearn.diagnostics.fans import plot_forecast, plot_predictive, plot_smoother
from filterlearn.diagnostics.panels import as_tree, band, dots, focus, normal_band, panels
from filterlearn.diagnostics.results import entries
from filterlearn.diagnostics.surprise import plot_pit, plot_surprise


def plot_states(source) -> Figure:
    """Each state's mean with its 90 % band (of a normal law with its variance) over time, of a trajectory or a tree."""
    filtered = as_tree(source)["filter"]
    mean, variance = filtered["mean"].values, filtered["variance"].values
    figure, axes = panels(mean.shape[1], "States: mean, 90 %")
    for i, each in enumerate(axes[:, 0]):
        normal_band(each, filtered["time"].values, mean[:, i], variance[:, i], "C0")
        each.set_ylabel(f"state {i}")
    return figure


def plot_observations(source) -> Figure:
    """Each sensor's values, and what was predicted of them one step before."""
    tree = as_tree(source)
    filtered, y = tree["filter"], tree["observed_data"]["y"].values
    mean, variance = filtered["predicted_mean"].values, filtered["predicted_variance"].values
    figure, axes = panels(y.shape[1], "Data, and their one-step prediction: mean, 90 %")
    for i, each in enumerate(axes[:, 0]):
        quantiles = normal_band(each, filtered["time"].values, mean[:, i], variance[:, i], "C1")
        focus(each, y[:, i], quantiles[:, ::2])
        dots(each, filtered["time"].values, y[:, i])
        each.set_ylabel(f"sensor {i}")
    return figure


def _moving(tree):
    return [name for name in tree["filter"].data_vars if name.startswith("parameter_")]


def plot_parameters(source, family=None) -> Figure:
    """Each moving parameter's median with its 90 % band over time, of a learner's trajectory and its `family`, or a tree.

    Raises ValueError where there are no bands.
    """
    tree = as_tree(source, family)
    if not (names := _moving(tree)):
        raise ValueError("source: no parameter bands; give a learner's trajectory and its family, or a tree that has them")
    bands = list(entries(tree["filter"].dataset[names]))
    figure, axes = panels(len(bands), "Parameters: median, 90 %")
    for each, (name, quantiles) in zip(axes[:, 0], bands, strict=False):
        band(each, tree["filter"]["time"].values, quantiles, "C2")
        each.set_ylabel(name.removeprefix("parameter_"))
    return figure


def log_scores(tree) -> np.ndarray:
    """The one-step log scores `(T,)`, NaN where nothing was observed or the score is not finite."""
    values, seen = tree["filter"]["log_evidence"].values, np.isfinite(tree["observed_data"]["y"].values).any(axis=1)
    return np.where(seen & np.isfinite(values), values, np.nan)


def plot_scores(source) -> Figure:
    """The one-step log score over time, and its mean so far."""
    tree = as_tree(source)
    times, values = tree["filter"]["time"].values, log_scores(tree)
    figure, axes = panels(1, "One-step log score", height=2.4)
    running = np.nancumsum(values) / np.maximum(np.cumsum(np.isfinite(values)), 1)
    axes[0, 0].plot(times, values, color="C3", linewidth=0.6)
    axes[0, 0].plot(times, running, color="0.2", linewidth=1.0, label="mean so far")
    axes[0, 0].set_ylabel("log score")
    axes[0, 0].legend(frameon=False)
    return figure


def plot_draws(tree) -> Figure:
    """Each sampled parameter of a fit: the draws of each chain in order, and their histogram."""
    draws = list(entries(tree["posterior"].dataset))
    figure, axes = panels(len(draws), "Draws by chain, and their histogram", across=2)
    for row, (name, chains) in zip(axes, draws, strict=False):
        for chain in chains:
            row[0].plot(chain, linewidth=0.5)
            row[1].hist(chain, bins=40, histtype="step", density=True)
        row[0].set_ylabel(name)
    return figure


def of(tree) -> list[Figure]:
    """The pictures that a DataTree has the groups for."""
    groups = set(tree.children)
    filtered = "filter" in groups
    wanted = (
        (plot_draws, "posterior" in groups),
        (plot_parameters, filtered and bool(_moving(tree))),
        (plot_smoother, filtered and "paths" in groups),
        (plot_states, filtered and "paths" not in groups),
        (plot_forecast, "predictions" in groups),
        (plot_predictive, "posterior_predictive" in groups),
        *((plot, filtered) for plot in (plot_observations, plot_scores, plot_surprise, plot_pit)),
    )
    return [plot(tree) for plot, there in wanted if there]
