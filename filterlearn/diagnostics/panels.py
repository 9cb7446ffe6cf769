"""What pictures share: panels, bands, and words for those who do not see them."""

import numpy as np
from matplotlib.figure import Figure

from filterlearn.diagnostics.results import to_datatree
from filterlearn.protocol import Trajectory

_MOST = 8  # panels in a picture
_Z = 1.6449  # half the width of a central 90 % interval of a normal law, in sds


def as_tree(source, family=None):
    """A DataTree, or that of a trajectory."""
    return to_datatree(source, family) if isinstance(source, Trajectory) else source


def panels(count, title, *, across=1, height=1.8):
    """(figure, axes of the first panels): one under the other on one horizontal axis, or `across` side by side."""
    shown = min(count, _MOST)
    figure = Figure(figsize=(10, 0.6 + height * shown), layout="constrained")
    axes = figure.subplots(shown, across, sharex=across == 1, squeeze=False)
    for each in axes.flat:
        each.margins(x=0.01)
    figure.suptitle(title if shown == count else f"{title}: the first {shown} of {count}")
    return figure, axes


def band(axes, times, quantiles, colour, **line):
    """A median with its 5 to 95 % band; `quantiles` is `(T, 3)`."""
    axes.plot(times, quantiles[:, 1], color=colour, linewidth=0.9, **line)
    axes.fill_between(times, quantiles[:, 0], quantiles[:, 2], color=colour, alpha=0.25, linewidth=0)


def normal_band(axes, times, mean, variance, colour, label=None):
    """A mean with the 90 % band of a normal law, which is given back `(T, 3)`."""
    quantiles = mean[:, None] + np.sqrt(variance)[:, None] * np.array([-_Z, 0.0, _Z])
    band(axes, times, quantiles, colour, label=label)
    return quantiles


def focus(axes, values, band):
    """The vertical axis on the values and most of a band `(T, 2)`, whose ends may be far out, as at a vague start."""
    low, high = np.nanpercentile(band[:, 0], 3), np.nanpercentile(band[:, 1], 97)
    low, high = np.nanmin([low, *values]), np.nanmax([high, *values])
    axes.set_ylim(low - 0.05 * (high - low), high + 0.05 * (high - low))


def dots(axes, times, values):
    """The data."""
    axes.plot(times, values, ".", color="0.2", markersize=3)


def described(figure) -> str:
    """The title, and what is on the vertical axes."""
    names = list(dict.fromkeys(axes.get_ylabel() for axes in figure.axes if axes.get_ylabel()))
    return f"{figure.get_suptitle()}{' Panels: ' if names else ''}{', '.join(names)}"
