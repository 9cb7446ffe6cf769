"""What one observation told, and a list of it: the log of a stream."""

import dataclasses
from typing import Any

import numpy as np


def stamped(time):
    """A time as JSON holds it: a datetime is ISO text."""
    return np.datetime_as_string(time, "auto") if isinstance(time, np.datetime64) else time


@dataclasses.dataclass(frozen=True)
class Report:
    """What one observation told.

    `time` (a datetime, in UTC, when the session has an origin) and `value` `(m,)` are the observation; `mean` `(n,)` and
    `covariance` `(n, n)` the state's after it; `log_evidence` its one-step log score; `parameters` those of a learner by
    name, constrained: mean, sd and the 5, 50 and 95 % `quantiles` `(3, ...)`; `flags` says in words what went wrong; `info`
    is the `Info`.
    """

    time: Any
    value: np.ndarray
    mean: np.ndarray
    covariance: np.ndarray
    log_evidence: float
    parameters: dict[str, dict[str, np.ndarray]]
    flags: tuple[str, ...]
    info: Any

    def row(self) -> dict:
        """The same by name, for a table or a line of JSON: the predictive mean, variance and distribution function of the
        value and the effective sample size too, and of the covariance its diagonal. A datetime is ISO text."""
        predicted = {"predicted_mean": self.info.predicted[0], "predicted_variance": self.info.predicted[1]}
        return {
            "time": stamped(self.time),
            "value": self.value,
            "mean": self.mean,
            "variance": np.diagonal(self.covariance),
            **{name: np.asarray(each) for name, each in predicted.items()},
            "log_evidence": self.log_evidence,
            "pit": np.asarray(self.info.pit),
            "ess": np.asarray(self.info.ess),
            "parameters": self.parameters,
            "flags": self.flags,
        }
