"""Resampling whose weights carry the score."""

import jax

from filterlearn.resamplers.base import AbstractIndexResampler, AbstractResampler


class StopGradient(AbstractResampler):
    """Adds log w - stop_gradient(log w) of each ancestor to the new log-weights: the same numbers, and a derivative of the
    evidence that is consistent for the score, with high variance (Scibior & Wood 2021, arXiv:2106.10314)."""

    resampler: AbstractIndexResampler

    def resample(self, log_weights, tree, *, key):
        """The chosen points, with weights that are uniform in value only."""
        frozen = jax.lax.stop_gradient(log_weights)
        (new, surplus), uniform = self.resampler.resample(frozen, (tree, log_weights - frozen), key=key)
        return new, uniform + surplus
