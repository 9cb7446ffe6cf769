"""Resampling from softened weights."""

from typing import Any

import jax
import jax.numpy as jnp
from jax.core import Tracer

from filterlearn.numerics.densities import normalise
from filterlearn.resamplers.base import AbstractIndexResampler, AbstractResampler


class Soft(AbstractResampler):
    """Ancestors by q_i = a w_i + (1 - a) / N, with the weights w / q left over, through which derivatives pass (Karkus, Hsu &
    Lee 2018, arXiv:1805.08975).

    `softness` is 1 - a, in [0, 1]: 0 is the resampler inside, without a derivative; 1 does not look at the weights.
    Consistent; the weights are normalised, so the evidence is biased of order 1 / N. The derivative is biased: the choice of
    the ancestors has none.
    """

    resampler: AbstractIndexResampler
    softness: Any = 0.5

    def __check_init__(self):
        if not isinstance(self.softness, Tracer) and not 0 <= self.softness <= 1:
            raise ValueError(f"softness: a number from 0 to 1 is needed, got {self.softness!r}")

    def resample(self, log_weights, tree, *, key):
        """The chosen points, with what is left of their weights."""
        n, share = log_weights.shape[0], jnp.asarray(self.softness, log_weights.dtype)
        chosen = jnp.logaddexp(jnp.log1p(-share) + log_weights, jnp.log(share) - jnp.log(n))
        left = log_weights - chosen
        (new, surplus), _ = self.resampler.resample(jax.lax.stop_gradient(chosen), (tree, left), key=key)
        return new, normalise(surplus)[0]
