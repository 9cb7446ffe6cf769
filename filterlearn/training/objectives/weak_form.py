"""A drift against a path that is seen, without a solver."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp

from filterlearn.clock import whole
from filterlearn.inputs import by_row
from filterlearn.models.base import timed
from filterlearn.training.objectives.base import AbstractObjective


class WeakForm(AbstractObjective):
    """The mean over windows of |int psi' x + psi f(t, x, u) dt / int psi dt|^2 in units of `scale`, psi = (s (1 - s))^order,
    s from 0 to 1 in the window (Course, Evans & Nair 2020, doi:10.48550/arXiv.2010.07248).

    `drift(module)` is f; a series is a Dataset that sees the state, `window` rows of it each. No solver and no derivatives
    of the data; integrals by the trapezium rule, of order 2 in the gaps, higher where they are equal. 0 where dx = f dt; of
    an SDE the terms have mean zero at its drift. Noise in the values biases it where f bends.
    """

    drift: Callable
    window: int = eqx.field(static=True)
    order: int = eqx.field(static=True)
    scale: Any

    def __init__(self, drift, window, *, order=3, scale=1.0):
        self.drift, self.window, self.order = drift, whole("window", window, 3), whole("order", order, 1)
        self.scale = scale

    def loss(self, module, series, key):
        """The mean square of the windows that are seen whole."""
        if len(series.times) < self.window:
            raise ValueError(f"window: at most the {len(series.times)} rows of a series, got {self.window}")
        slopes, seen = self._mismatch(timed(self.drift(module)), series)
        return jnp.sum(jnp.where(seen, jnp.sum((slopes / self.scale) ** 2, axis=1), 0.0)) / jnp.maximum(jnp.sum(seen), 1)

    def _mismatch(self, drift, series):
        """The mean slope of each window that f does not tell `(windows, n)`, and which windows are seen."""
        whole = jnp.all(jnp.isfinite(series.values), axis=1)
        x = jnp.where(whole[:, None], series.values, 0.0)
        rows, unpacked = by_row(series.inputs)
        f = jax.vmap(lambda t, x, u: drift(t, x, unpacked(u)))(series.times, x, rows)
        at = jnp.arange(len(series.times) - self.window + 1)[:, None] + jnp.arange(self.window)
        times = series.times[at]
        half = jnp.diff(times) / 2
        span = times[:, -1:] - times[:, :1]
        seen = jnp.all(whole[at], axis=1) & (span[:, 0] > 0)
        span = jnp.where(span > 0, span, 1.0)
        s = (times - times[:, :1]) / span
        psi = (4 * s * (1 - s)) ** self.order
        rise = 4 * self.order * (4 * s * (1 - s)) ** (self.order - 1) * (1 - 2 * s) / span
        weight = jnp.pad(half, ((0, 0), (1, 0))) + jnp.pad(half, ((0, 0), (0, 1)))
        total = jnp.sum(weight[..., None] * (rise[..., None] * x[at] + psi[..., None] * f[at]), axis=1)
        return total / jnp.maximum(jnp.sum(weight * psi, axis=1, keepdims=True), jnp.finfo(total.dtype).tiny), seen
