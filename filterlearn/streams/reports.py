"""What one datum of each of many series told."""

import dataclasses
from typing import Any

import jax
import numpy as np

from filterlearn import protocol
from filterlearn.diagnostics.log import Report
from filterlearn.streams.packed import unpacked


@dataclasses.dataclass(frozen=True)
class Reports:
    """The reports of some series of a fleet, stacked: entry k of each array is that of `names[k]`, and `reports[name]` is its
    `Report`. `refused` says why what came for other series was not absorbed.

    `times` `(k,)` are numbers, or datetimes where the fleet has an origin; `values` `(k, m)`, `mean` `(k, n)` and
    `covariance` `(k, n, n)` of the states, `log_evidence` `(k,)`, `flags` `(k,)` as the numbers of `Info`, `parameters` by
    name.
    """

    names: tuple[str, ...]
    times: np.ndarray
    values: np.ndarray
    told: Any
    refused: dict[str, str]

    @classmethod
    def of(cls, names, times, values, numbers, form, refused) -> "Reports":
        """From the packed numbers of each row."""
        return cls(tuple(names), times, values, unpacked(numbers, form), refused)

    mean = property(lambda self: self.told[1][0], doc="Means of the states.")
    covariance = property(lambda self: self.told[1][1], doc="Their covariances.")
    parameters = property(lambda self: self.told[1][2], doc="Summaries of the parameters, by name.")
    log_evidence = property(lambda self: self.told[0].log_evidence, doc="One-step log scores.")
    flags = property(lambda self: self.told[0].flags, doc="Sums of flags.")

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, name) -> Report:
        """That of one series. KeyError where it had no datum, or a refused one."""
        try:
            k = self.names.index(name)
        except ValueError:
            raise KeyError(self.refused.get(name, name)) from None
        return self._row(k)

    def __iter__(self):
        """(name, report) of each."""
        return ((name, self._row(k)) for k, name in enumerate(self.names))

    def _row(self, k) -> Report:
        info, (mean, covariance, named) = jax.tree.map(lambda leaf: np.asarray(leaf[k]), self.told)
        flags = protocol.words(int(info.flags))
        return Report(self.times[k], self.values[k], mean, covariance, float(info.log_evidence), named, flags, info)
