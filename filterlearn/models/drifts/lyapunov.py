"""A drift with one resting point that every path goes to."""

from typing import Any

import jax

from filterlearn.models.convex import projected
from filterlearn.models.drifts.base import AbstractDrift


class LyapunovDrift(AbstractDrift):
    """f = h - grad V relu(grad V . h + rate V) / |grad V|^2, h = nominal(t, x, u) - nominal(t, c, u): the nearest to h with
    grad V . f <= -rate V (Kolter & Manek 2019, arXiv:2001.06116).

    `nominal` is any drift, `function` a `LyapunovFunction` V with its centre c, or a module like it: `rate` is per unit of
    time. V falls as exp(-rate t) along every path without noise, whatever the weights and the inputs, and so does |x - c|^2,
    up to a constant: exponentially stable. A step of a solver keeps this up to its error.
    """

    nominal: Any
    function: Any
    rate: Any = 0.1

    def __call__(self, t, x, u):
        rates = self.nominal(t, x, u) - self.nominal(t, self.function.centre, u)
        level, slope = jax.value_and_grad(self.function)(x)
        return projected(rates, slope, slope @ rates + self.rate * level)
