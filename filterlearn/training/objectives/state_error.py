"""The error of a filter's mean."""

from typing import Any

import jax.numpy as jnp

from filterlearn.protocol import run
from filterlearn.training.objectives.base import AbstractObjective


class StateError(AbstractObjective):
    """The mean over a series of |m - x|^2 / n, m the mean after each datum and x the true state there: regression of states,
    for a module that is itself a filter with something to learn, such as `KalmanNet` (Revach et al. 2022, arXiv:2107.10043).

    A series is (Dataset, states `(T, n)`); NaN entries of the states are left out.
    """

    problem: Any

    def loss(self, module, series, key):
        """The mean squared error."""
        data, states = series
        means = run(module, self.problem, data, key=key, save=lambda belief, info: belief.mean).saved
        known = ~jnp.isnan(states)
        return jnp.sum(jnp.where(known, (means - jnp.where(known, states, 0.0)) ** 2, 0.0)) / jnp.sum(known)
