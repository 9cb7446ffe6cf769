"""Resampling by optimal transport."""

from typing import Any

import jax.numpy as jnp
from jax.core import Tracer
from jax.nn import log_softmax

from filterlearn.numerics.transport import transport_plan
from filterlearn.resamplers.base import AbstractResampler

_LEAST = -60.0  # of a log-weight: lighter points carry nothing that rounding would keep


class OptimalTransport(AbstractResampler):
    """Each new point is an average of the old ones, n sum_j P_ij x_j, by the plan P of least squared distance plus `epsilon`
    times its entropy, from the weighted to the equally weighted points (Corenflos, Thornton, Deligiannidis & Doucet 2021,
    arXiv:2102.07850).

    Deterministic, differentiable in points and weights (implicitly, at the solution), O(N^2) in memory and O(N^3) in time.
    Distances are taken in units of the points' largest standard deviation times sqrt(n), so that epsilon has no unit. The
    weighted mean is kept exactly; the spread shrinks with epsilon, and the evidence is biased; consistent as epsilon falls to
    0 and N grows.
    """

    epsilon: Any = 0.5
    tolerance: Any = 1e-4

    def __check_init__(self):
        if not isinstance(self.epsilon, Tracer) and not self.epsilon > 0:
            raise ValueError(f"epsilon: a positive number is needed, got {self.epsilon!r}")

    def resample(self, log_weights, tree, *, key):
        """The averages, equally weighted."""
        points, n = tree, log_weights.shape[0]
        held = log_softmax(jnp.maximum(log_weights, _LEAST))
        variance = jnp.max(jnp.var(points, axis=0)) * points.shape[1]
        scaled = (points - jnp.mean(points, axis=0)) / jnp.sqrt(jnp.where(variance > 0, variance, 1.0))
        square = jnp.sum(scaled**2, axis=1)
        cost = jnp.maximum(square[:, None] + square[None, :] - 2 * scaled @ scaled.T, 0.0)
        plan = transport_plan(cost, held, jnp.asarray(self.epsilon, points.dtype), self.tolerance)
        return n * plan @ points, jnp.full_like(log_weights, -jnp.log(n))
