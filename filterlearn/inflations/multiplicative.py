"""Inflation by a factor."""

from typing import Any

from filterlearn.inflations.base import AbstractInflation


class Multiplicative(AbstractInflation):
    """The anomalies after the analysis times `factor` (Anderson & Anderson 1999,
    doi:10.1175/1520-0493(1999)127<2741:AMCIOT>2.0.CO;2): `EnsembleKalman(size, inflation=1.02)` means the same."""

    factor: Any

    def posterior(self, before, after):
        """Times the factor."""
        return self.factor * after
