"""Pictures of a filtered series."""

import matplotlib.pyplot as plt


def volatility_picture(path, dates, returns, volatility, scores, parameter, name):
    """Returns inside the volatility band, the one-step log score, and the band of a moving parameter.

    `volatility` and `parameter` are `(T, 3)`: the 5, 50 and 95 % quantiles; `scores` is `(T,)`.
    """
    figure, axes = plt.subplots(3, 1, figsize=(10, 8), sharex=True, height_ratios=(2, 1, 1), layout="constrained")
    axes[0].vlines(dates, 0, returns, color="0.6", linewidth=0.5, label="daily return")
    for sign in (1, -1):
        axes[0].plot(dates, 2 * sign * volatility[:, 1], color="C0", linewidth=0.9, label="± 2 sd" if sign > 0 else None)
        axes[0].fill_between(dates, 2 * sign * volatility[:, 0], 2 * sign * volatility[:, 2], color="C0", alpha=0.25)
    axes[0].set_ylabel("percent")
    axes[0].legend(loc="upper right", ncols=2)
    axes[1].plot(dates, scores, color="C3", linewidth=0.6)
    axes[1].set_ylabel("log score")
    axes[2].plot(dates, parameter[:, 1], color="C2")
    axes[2].fill_between(dates, parameter[:, 0], parameter[:, 2], color="C2", alpha=0.25)
    axes[2].set_ylabel(f"{name} (median, 90 %)")
    figure.savefig(path, dpi=110)
    plt.close(figure)
