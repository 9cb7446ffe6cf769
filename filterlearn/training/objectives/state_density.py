"""How likely a filter holds the true states to be."""

from typing import Any

import jax
import jax.numpy as jnp

from filterlearn.numerics.densities import masked_normal
from filterlearn.numerics.masking import filled, masked_covariance, observed
from filterlearn.numerics.small import cholesky
from filterlearn.protocol import run
from filterlearn.training.objectives.base import AbstractObjective


class StateDensity(AbstractObjective):
    """Minus the mean over a series of log N(x; m, P), m and P the moments after each datum and x the true state there: a
    proper score of both (Dawid & Sebastiani 1999, doi:10.1214/aos/1018031101), for a module that is itself a filter with
    something to learn, such as `KalmanNet` with a head.

    A series is (Dataset, states `(T, n)`); NaN entries of the states are left out.
    """

    problem: Any

    def loss(self, module, series, key):
        """The mean score, in nats."""
        data, states = series
        moments = run(module, self.problem, data, key=key, save=lambda belief, info: (belief.mean, belief.covariance)).saved

        def score(mean, covariance, state):
            mask = observed(state)
            return masked_normal(filled(state, mean) - mean, cholesky(masked_covariance(covariance, mask)), mask)

        return -jnp.mean(jax.vmap(score)(*moments, states))
