"""The picture of the demo."""

from matplotlib.figure import Figure

from filterlearn.diagnostics.panels import band


def volatility_picture(path, dates, returns, volatility, jumps, scores, parameter, name):
    """Returns inside twice the volatility, the probability that it jumped, the one-step log score, and a moving parameter.

    `volatility` and `parameter` are `(T, 3)`: the 5, 50 and 95 % quantiles; `jumps` and `scores` are `(T,)`.
    """
    figure = Figure(figsize=(10, 10), layout="constrained")
    axes = figure.subplots(4, 1, sharex=True, height_ratios=(2, 1, 1, 1))
    axes[0].vlines(dates, 0, returns, color="0.6", linewidth=0.5, label="daily return, percent")
    band(axes[0], dates, 2 * volatility, "C0", label="± 2 volatilities (median, 90 %)")
    band(axes[0], dates, -2 * volatility, "C0")
    axes[0].legend(loc="upper right", ncols=2, frameon=False)
    axes[0].set_ylabel("percent")
    axes[1].vlines(dates, 0, jumps, color="C1", linewidth=0.7)
    axes[1].set_ylabel("P(volatility jumped)")
    axes[1].set_ylim(bottom=0)
    axes[2].plot(dates, scores, color="C3", linewidth=0.6)
    axes[2].set_ylabel("log score")
    band(axes[3], dates, parameter, "C2")
    axes[3].set_ylabel(f"{name} (median, 90 %)")
    axes[3].margins(x=0.01)
    figure.savefig(path, dpi=110)
