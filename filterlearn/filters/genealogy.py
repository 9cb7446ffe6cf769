"""A particle filter that keeps which first point each point descends from."""

from typing import Any

import jax.numpy as jnp

from filterlearn.beliefs.particles import Lineage
from filterlearn.protocol import AbstractAlgorithm
from filterlearn.resamplers.adaptive import Adaptive
from filterlearn.resamplers.multinomial import Multinomial


class Genealogy(AbstractAlgorithm):
    """The filter inside, its points carrying their lineage, so that `belief.evidence_variance` tells from this one run how
    much the evidence would vary over keys (Lee & Whiteley 2018, doi:10.1093/biomet/asy028).

    The numbers are those of the filter inside, a `ParticleFilter` that resamples by `Multinomial()`, at every datum or under
    `Adaptive`; other resamplers draw dependent ancestors, for which no such estimate is known, and are refused (TypeError).
    The product of the squared evidence and the estimate is unbiased for the variance of the evidence when every datum
    resamples, and consistent under `Adaptive`. Few first points survive a long series: once one is left the estimate says 1.
    """

    filter: AbstractAlgorithm

    def __check_init__(self):
        resampler = getattr(self.filter, "resampler", None)
        inside = resampler.resampler if isinstance(resampler, Adaptive) else resampler
        if not isinstance(inside, Multinomial):
            given = type(self.filter if resampler is None else inside).__name__
            raise TypeError(f"filter: a ParticleFilter with Multinomial() or Adaptive(Multinomial()) is needed, got {given}")

    def init(self, problem, *, key=None):
        """The filter's points, each the first of its line."""
        belief: Any = self.filter.init(problem, key=key)
        index = jnp.arange(belief.log_weights.shape[0])
        return belief.carrying(Lineage(index, index, jnp.zeros_like(index)))

    def predict(self, problem, belief, time, inputs=None, *, key=None):
        """That of the filter."""
        return self.filter.predict(problem, belief, time, inputs, key=key)

    def update(self, problem, belief, datum, *, key=None):
        """That of the filter, its resampling noted."""
        return _noted(*self.filter.update(problem, belief.carrying(belief.lineage.begun()), datum, key=key))

    def step(self, problem, belief, datum, *, keys):
        """That of the filter, its resampling noted."""
        return _noted(*self.filter.step(problem, belief.carrying(belief.lineage.begun()), datum, keys=keys))


def _noted(belief, info):
    return belief.carrying(belief.lineage.noted()), info
