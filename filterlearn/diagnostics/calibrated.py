"""Whether what was believed had the right spread, over many worlds of which the truth is known."""

import dataclasses

import arviz as az
import numpy as np

from filterlearn.diagnostics.ranks import uniformity
from filterlearn.diagnostics.table import Table

_LEAST = 0.01  # of the p-values together, by Bonferroni


@dataclasses.dataclass(frozen=True)
class Calibration:
    """Ranks of the truth, 0 to `size`, among draws of what was believed of it, `(worlds,)` by name: uniform when it was
    right. `notes` says what else is to be known."""

    ranks: dict[str, np.ndarray]
    size: int
    notes: tuple[str, ...] = ()

    @property
    def p_values(self) -> dict[str, float]:
        """Of chi-squared tests that the ranks are uniform (`uniformity`)."""
        return {name: float(uniformity(each, self.size)) for name, each in self.ranks.items()}

    @property
    def uniform(self) -> bool:
        """Whether no p-value is below .01 over their number."""
        return not self.words

    @property
    def words(self) -> list[str]:
        """What is not calibrated, and how; empty when all is."""
        values = self.p_values
        return [_words(n, p, self.ranks[n], self.size) for n, p in values.items() if not p > _LEAST / len(values)]

    def coverage(self, level: float = 0.9) -> dict[str, float]:
        """The share of worlds whose truth is in the central interval of a level, between the order statistics of `size` draws
        that hold level x (size + 1) ranks."""
        out = (1 - level) / 2 * (self.size + 1)
        return {name: float(np.mean((r + 0.5 > out) & (r + 0.5 < self.size + 1 - out))) for name, r in self.ranks.items()}

    def table(self, title: str) -> Table:
        """p-values and the coverage of 50 and 90 % intervals, by name."""
        half, most = self.coverage(0.5), self.coverage(0.9)
        rows = [(name, p, half[name], most[name]) for name, p in self.p_values.items()]
        return Table(title, ("of", "p-value", "in 50 %", "in 90 %"), rows)

    def tree(self):
        """A DataTree whose group `prior_sbc` holds (rank + 1/2) / (size + 1), which `az.plot_ecdf_pit` draws."""
        return az.from_dict({"prior_sbc": {name: (r + 0.5)[None] / (self.size + 1) for name, r in self.ranks.items()}})


def _words(name, p, ranks, size):
    """How ranks differ from uniform: in their mean, or in their spread, whichever is the clearer."""
    if np.isnan(p):
        return f"{name}: {len(ranks)} worlds tell nothing; take at least 20"
    unit, n = (ranks + 0.5) / (size + 1) - 0.5, len(ranks)
    shift, spread = unit.mean() * (12 * n) ** 0.5, (12 * np.mean(unit**2) - 1) * (5 * n / 4) ** 0.5
    if abs(shift) > abs(spread):
        how = f"what is believed lies too {'low' if shift > 0 else 'high'}"
    else:
        how = f"what is believed is too {'narrow' if spread > 0 else 'wide'}"
    return f"{name}: ranks are not uniform (p = {p:.2g}); {how}"
