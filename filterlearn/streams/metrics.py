"""What a stream counts and times, as Prometheus reads it."""

import collections
import time

import numpy as np

_LAST = 1000  # observations that the quantiles are of


class Metrics:
    """Counters and gauges of one stream."""

    def __init__(self):
        self.tally, self.flags = collections.Counter(), collections.Counter()
        self.seconds, self.count, self.total = collections.deque(maxlen=_LAST), 0, 0.0
        self.score, self.last, self.ess, self.lag, self.saved = 0.0, 0.0, float("nan"), float("nan"), None

    def observed(self, report, seconds: float) -> None:
        """A report, and how long it took."""
        self.seconds.append(seconds)
        self.count, self.total = self.count + 1, self.total + seconds
        self.flags.update(report.flags)
        self.last, self.ess = report.log_evidence, float(report.info.ess)
        self.score += self.last if np.isfinite(self.last) else 0.0
        if isinstance(report.time, np.datetime64):
            self.lag = time.time() - report.time.astype("datetime64[ns]").astype(np.int64) / 1e9

    def text(self) -> str:
        """The text format of Prometheus, version 0.0.4."""
        age = float("nan") if self.saved is None else time.time() - self.saved
        own = np.asarray(self.seconds or [np.nan])
        return "".join(
            [
                _metric("arrivals_total", "counter", {f'kind="{kind}"': n for kind, n in sorted(self.tally.items())}),
                _metric("flags_total", "counter", {f'flag="{flag}"': n for flag, n in sorted(self.flags.items())}),
                _metric("observe_seconds", "summary", {f'quantile="{q}"': np.quantile(own, q) for q in (0.5, 0.9, 0.99)}),
                f"filterlearn_observe_seconds_sum {self.total:.9g}\nfilterlearn_observe_seconds_count {self.count}\n",
                _metric("log_score_total", "gauge", {"": self.score}),
                _metric("surprise", "gauge", {"": -self.last}),
                _metric("effective_size", "gauge", {"": self.ess}),
                _metric("lag_seconds", "gauge", {"": self.lag}),
                _metric("checkpoint_age_seconds", "gauge", {"": age}),
            ]
        )


def _metric(name, kind, values) -> str:
    lines = [f"filterlearn_{name}{'{' + label + '}' if label else ''} {_plain(value)}\n" for label, value in values.items()]
    return f"# TYPE filterlearn_{name} {kind}\n" + "".join(lines)


def _plain(value) -> str:
    return "NaN" if np.isnan(value) else f"{float(value):.9g}"
