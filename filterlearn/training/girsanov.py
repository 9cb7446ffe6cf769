"""Paths of an SDE under another drift, with their weights."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from filterlearn.data import Datum
from filterlearn.inputs import by_row
from filterlearn.models.base import starting_gaussian, timed
from filterlearn.models.transitions.euler_maruyama import EulerMaruyama
from filterlearn.numerics.densities import degenerate_normal
from filterlearn.numerics.sampling import normals
from filterlearn.numerics.small import safe_sqrt
from filterlearn.protocol import origin_of


class Weighed(NamedTuple):
    """Of one path: log p(y given x), the energy int |g^-1 (f_q - f)|^2 dt / 2, the martingale int (g^-1 (f_q - f))' dW, and
    log p(x_0) - log q(x_0)."""

    seen: Any
    energy: Any
    martingale: Any
    start: Any

    @property
    def log_weight(self):
        """log p(y, x) - log q(x): its exponential has the evidence as its mean."""
        return self.seen + self.start - self.energy - self.martingale


def weighed_path(model, start, drift, series, key) -> Weighed:
    """A path of dx = f_q dt + g dW from a draw of `start`, a Gaussian, by the steps of the model's `EulerMaruyama`, and what
    weighs it against dx = f dt + g dW (Girsanov 1960, doi:10.1137/1105027): exact for these steps, whatever their number.
    """
    transition = _checked(model.transition)
    sde, steps, other = transition.sde, transition.substeps, timed(drift)
    first, later = jax.random.split(key)
    x = start.mean + start.factor @ normals(first, start.mean.shape, start.mean.dtype)
    given = starting_gaussian(model.initial)
    ratio = degenerate_normal(x, given.mean, given.factor) - degenerate_normal(x, start.mean, start.factor)
    rows, read = by_row(series.inputs)
    clock = origin_of(given.time, series.times[0])

    def substep(carry, z):
        x, t, h, u, energy, martingale = carry
        f, g = sde.drift(t, x, u), sde.diffusion_at(t, x, u)
        shift = _solved(g, other(t, x, u) - f)
        x = x + h * f + safe_sqrt(h) * _times(g, z) + h * _times(g, shift)
        energy = energy + 0.5 * h * jnp.sum(shift**2)
        return (x, t + h, h, u, energy, martingale + safe_sqrt(h) * jnp.sum(shift * z)), None

    def one(carry, row):
        x, t, total = carry
        number, time, value, u = *row[:3], read(row[3])
        noise = normals(jax.random.fold_in(later, number), (steps, *x.shape), x.dtype)
        zero = jnp.zeros((), x.dtype)
        (x, *_, energy, martingale), _ = jax.lax.scan(substep, (x, t, (time - t) / steps, u, zero, zero), noise)
        datum = Datum(time, value, u)
        terms = jnp.stack([model.observation.log_prob(datum.value, x, datum.time, datum.inputs), energy, martingale])
        return (x, time, total + terms), None

    begin = (x, clock, jnp.zeros(3, x.dtype))
    (_, _, total), _ = jax.lax.scan(one, begin, (jnp.arange(len(series.times)), series.times, series.values, rows))
    return Weighed(*total, ratio)


def weighed_paths(build, guide, draws: int, module, series, key) -> Weighed:
    """`draws` of them, for the model and the guide that a module gives."""
    model, (start, drift) = build(module), guide(module, series)
    return jax.vmap(lambda own: weighed_path(model, start, drift, series, own))(jax.random.split(key, draws))


def _checked(transition) -> EulerMaruyama:
    if not isinstance(transition, EulerMaruyama) or transition.sde.jumps:
        what = "EulerMaruyama without jumps"
        raise TypeError(f"build: a transition {what} is needed for a bound over paths, got {type(transition).__name__}")
    return transition


def _times(g, z):
    return g * z if g.ndim == 1 else g @ z


def _solved(g, v):
    """g^-1 v; a diagonal entry that is zero, a state without noise, asks for v = 0 there."""
    if g.ndim == 1:
        return jnp.where(g == 0, jnp.where(v == 0, 0.0, jnp.inf), v / jnp.where(g == 0, 1.0, g))
    if g.shape[0] != g.shape[1]:
        raise ValueError(f"build: a diffusion with as many noises as states is needed for a bound over paths, got {g.shape}")
    return jnp.linalg.solve(g, v)
