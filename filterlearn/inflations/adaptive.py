"""Inflation learned from the innovations."""

from typing import Any

import jax.numpy as jnp

from filterlearn.inflations.base import AbstractInflation

_LEAST = 0.1  # of the factor, on variances


class AdaptiveInflation(AbstractInflation):
    """The prior's covariance times a factor learned from the size of the innovations (Miyoshi 2011,
    doi:10.1175/2010MWR3570.1, for one factor):

        f_o = (e' e - p) / tr(Z Z'),   f <- f + v (f_o - f) / (v + v_o),   v_o = (2 / p) ((f tr(Z Z') + p) / tr(Z Z'))^2,

    e the whitened innovation of p entries and Z the whitened spread of the ensemble without inflation. E f_o is the factor
    that makes innovations as large as they are; `deviation` sqrt(v) says by how much f may move between data. f starts at 1,
    never falls below .1, and is found in the belief, `Ensemble.inflation`.
    """

    deviation: Any = 0.04

    def start(self, dtype):
        """No inflation."""
        return jnp.ones((), dtype)

    def prior(self, anomalies, known):
        """Widened by the square root of the factor."""
        return jnp.sqrt(known) * anomalies

    def posterior(self, before, after):
        """As the analysis left them."""
        return after

    def learned(self, seen, count, known):
        """The factor given the innovation, whose spread is already inflated; unchanged where the ensemble has none."""
        inflated = jnp.sum(seen.spread**2)
        spreads = (inflated > 0) & (count > 0)
        total = jnp.where(spreads, inflated, 1.0)
        told = known * (seen.error @ seen.error - count) / total
        doubt = 2 / jnp.maximum(count, 1) * (known * (total + count) / total) ** 2
        gain = self.deviation**2 / (self.deviation**2 + doubt)
        return jnp.where(spreads, jnp.maximum(known + gain * (told - known), _LEAST), known)
