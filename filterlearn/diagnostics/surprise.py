"""Pictures of what was not as predicted."""

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure

from filterlearn.diagnostics.panels import as_tree, panels
from filterlearn.learners.monitored import Wager
from filterlearn.protocol import SURPRISED

_BINS = 20
_Z99 = 2.5758


def wagers(pit, monitor=None):
    """(the mean of a monitor's three wagers after each datum, before it was begun anew; where it gave the alarm), `(T,)`
    each, from the predictive distribution functions `(T, m)`."""
    monitor, pit = monitor or Wager(), jnp.asarray(pit)

    def one(logs, row):
        grown, alarm = monitor.told(logs, row)
        return grown, (jnp.where(alarm, 1 / jnp.asarray(monitor.rate, pit.dtype), jnp.mean(jnp.exp(grown))), alarm)

    return map(np.asarray, jax.lax.scan(one, monitor.start(pit.dtype), pit)[1])


def plot_surprise(source, monitor=None) -> Figure:
    """What a `Wager` (`monitor`, else one false alarm in 1,000 data) staked against the one-step predictions of a trajectory
    or a tree with `filter` has won, its alarms, and those of the learner, if it was `Monitored`."""
    filtered = as_tree(source)["filter"]
    monitor, times = monitor or Wager(), filtered["time"].values
    level, alarms = wagers(filtered["pit"].values, monitor)
    figure, axes = panels(1, "Surprise: a wager against the predictions (dashed: the alarm)", height=2.4)
    axes[0, 0].semilogy(times, np.maximum(level, 1e-3), color="C3", linewidth=0.9)
    axes[0, 0].axhline(1 / float(monitor.rate), color="0.3", linestyle="--", linewidth=0.9)
    axes[0, 0].plot(times[alarms], level[alarms], "o", color="C3", markersize=5, label="alarm")
    flagged = (filtered["flags"].values & SURPRISED) > 0
    for time in times[flagged]:
        axes[0, 0].axvline(time, color="C1", linewidth=0.9, label="learner surprised" if time == times[flagged][0] else None)
    axes[0, 0].set_ylabel("wager")
    if flagged.any() or alarms.any():
        axes[0, 0].legend(frameon=False)
    return figure


def _groups(count):
    """Of ten values each, but at most twenty."""
    return int(np.clip(count // 10, 2, _BINS))


def _histogram(axes, values, edges):
    """How often values fall between edges, over how often uniform ones do, with the 99 % interval of each."""
    shares = np.diff(edges) / (edges[-1] - edges[0])
    found = np.histogram(values, edges)[0] / max(len(values), 1) / shares
    spread = _Z99 * np.sqrt((1 - shares) / shares / max(len(values), 1))
    axes.stairs(found, edges, fill=True, color="C0", alpha=0.7)
    axes.stairs(1 + spread, edges, baseline=np.maximum(1 - spread, 0), fill=True, color="0.5", alpha=0.3)


def plot_ranks(rank, size: int) -> Figure:
    """Histograms of `ranks` `(T, m)` among `size` draws or members: flat when the truth is one of them, hollow when they are
    too wide, a bowl when they are too narrow, sloped when they are off. With the 99 % interval of each column (Hamill 2001,
    doi:10.1175/1520-0493(2001)129<0550:IORHFV>2.0.CO;2)."""
    rank = np.asarray(rank).reshape(len(rank), -1)
    figure, axes = panels(rank.shape[1], f"Ranks among {size}: flat when calibrated (grey: 99 % of each column)")
    for i, each in enumerate(axes[:, 0]):
        told = rank[rank[:, i] >= 0, i]
        groups = min(_groups(len(told)), size + 1)
        _histogram(each, told, np.ceil(np.arange(groups + 1) * (size + 1) / groups) - 0.5)
        each.set_ylabel(f"entry {i}")
    return figure


def plot_pit(source) -> Figure:
    """Histograms of the predictive distribution functions at the values: flat when the predictions are calibrated, with
    the 99 % interval of each column."""
    values = as_tree(source)["filter"]["pit"].values
    figure, axes = panels(values.shape[1], "PIT: flat when calibrated (grey: 99 % of each column)")
    for i, each in enumerate(axes[:, 0]):
        told = values[np.isfinite(values[:, i]), i]
        _histogram(each, told, np.linspace(0, 1, _groups(len(told)) + 1))
        each.set_ylabel(f"sensor {i}")
    return figure
