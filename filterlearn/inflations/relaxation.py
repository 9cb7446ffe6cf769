"""Relaxation of an analysis towards the ensemble before it."""

from typing import Any

import jax.numpy as jnp

from filterlearn.inflations.base import AbstractInflation, spread


class RelaxToPerturbations(AbstractInflation):
    """(1 - alpha) A + alpha A_b of the anomalies after and before the analysis (Zhang, Snyder & Sun 2004,
    doi:10.1175/1520-0493(2004)132<1238:IOIEAO>2.0.CO;2): nothing at 0, the prior's anomalies about the new mean at 1."""

    alpha: Any

    def posterior(self, before, after):
        """The mixture of both."""
        return (1 - self.alpha) * after + self.alpha * before


class RelaxToSpread(AbstractInflation):
    """Each coordinate's anomalies times 1 + alpha (s_b - s) / s, with its standard deviation s after the analysis and s_b
    before (Whitaker & Hamill 2012, doi:10.1175/MWR-D-11-00276.1): the more a datum told, the wider."""

    alpha: Any

    def posterior(self, before, after):
        """Scaled coordinate by coordinate; a coordinate without spread stays."""
        now = spread(after)
        spreads = now > 0
        return after * jnp.where(spreads, 1 + self.alpha * (spread(before) / jnp.where(spreads, now, 1.0) - 1), 1.0)
