"""The Kalman filter."""

from typing import Any

import jax
import jax.numpy as jnp

from filterlearn.beliefs.gaussian import DiffuseGaussian
from filterlearn.filters.base import check_form, linear_correction, linear_prediction, linear_start
from filterlearn.numerics.densities import LOG_2PI
from filterlearn.numerics.masking import choose, filled, masked_covariance, observed
from filterlearn.numerics.small import lower_solve, semidefinite_factor, symmetric
from filterlearn.protocol import NOT_FINITE, AbstractAlgorithm, Info, origin_of


def _diffuse_scalar(carry, row):
    """One scalar observation of the exact diffuse filter (Durbin & Koopman 2012, section 6.4)."""
    m, p, d = carry
    h, y, r, seen = row
    error = y - h @ m
    finite, infinite = h @ p @ h + r, h @ d @ h
    diffuse = infinite > 1e-9 * jnp.maximum(jnp.max(jnp.abs(d)), 1e-300) * (h @ h)
    diffuse = diffuse & (jnp.max(jnp.abs(d)) > 1e-12)
    big = jnp.where(diffuse, infinite, 1.0)
    k0 = d @ h / big
    f = jnp.where(finite > 0, finite, 1.0)
    gain = p @ h / f
    when_diffuse = (
        m + k0 * error,
        symmetric(p + jnp.outer(k0, k0) * finite - jnp.outer(k0, p @ h) - jnp.outer(p @ h, k0)),
        symmetric(d - jnp.outer(k0, k0) * infinite),
    )
    usual = (m + gain * error, symmetric(p - jnp.outer(gain, gain) * f), d)
    new = choose(seen, choose(diffuse, when_diffuse, usual), carry)
    term = jnp.where(seen & ~diffuse, -0.5 * (LOG_2PI + jnp.log(f) + error**2 / f), 0.0)
    return new, term


def _decorrelated(r):
    """U and v with R = U diag(v) U', U unit lower: U^-1 y has independent noise, and the same density."""
    factor = semidefinite_factor(r)
    pivots = jnp.diagonal(factor)
    unit = factor / jnp.where(pivots > 0, pivots, 1.0) + jnp.diag(jnp.where(pivots > 0, 0.0, 1.0))
    return unit, pivots**2


class Kalman(AbstractAlgorithm):
    """The exact filter of a linear-Gaussian model (Kalman 1960, doi:10.1115/1.3662552).

    Needs `LinearSDE` or `LinearDiscrete` and `LinearGaussianObservation`; anything else is refused with TypeError. With a
    `Diffuse` start it is the exact diffuse filter: a datum spent on a diffuse direction adds 0 to the evidence; a
    correlated R is decorrelated first. The evidence is exact.

    `form` is `MomentForm()` or `SquareRootForm()`; None takes moments in double precision and square roots below it. A
    diffuse start is held in moments.
    """

    form: Any = None

    def __check_init__(self):
        check_form(self.form)

    def init(self, problem, *, key=None):
        """The initial law."""
        return linear_start(self, problem)

    def predict(self, problem, belief, time, inputs=None, *, key=None):
        """A m + b, A P A' + Q."""
        if not isinstance(belief, DiffuseGaussian):
            return linear_prediction(self, problem, belief, time, inputs)
        a, b, q = problem.resolve().transition.discretise(origin_of(belief.time, time), time, inputs)
        parts = (a @ belief.mean + b, symmetric(a @ belief.covariance @ a.T + q), symmetric(a @ belief.diffuse @ a.T))
        return DiffuseGaussian(*parts, time)

    def update(self, problem, belief, datum, *, key=None):
        """The correction by a datum."""
        if not isinstance(belief, DiffuseGaussian):
            return linear_correction(self, problem, belief, datum)
        return self._diffuse(belief, *problem.resolve().observation.linear(datum.time, datum.inputs), datum)

    def _diffuse(self, belief, h, d, r, datum):
        mask = observed(datum.value)
        mean = h @ belief.mean + d
        error = filled(datum.value, mean) - mean
        unit, noise = _decorrelated(masked_covariance(r, mask))
        h0 = jnp.where(mask[:, None], h, 0.0)
        rows = (lower_solve(unit, h0), lower_solve(unit, (error + h0 @ belief.mean)[:, None])[:, 0], noise, mask)
        state = (belief.mean, belief.covariance, belief.diffuse)
        unknown = jnp.diagonal(h @ belief.diffuse @ h.T) > 0
        variance = jnp.where(unknown, jnp.inf, jnp.diagonal(h @ belief.covariance @ h.T + r))
        (m, p, diffuse), terms = jax.lax.scan(_diffuse_scalar, state, rows)
        evidence = jnp.sum(terms)
        pit = jnp.where(mask, jax.scipy.special.ndtr(error / jnp.sqrt(variance)), jnp.nan)
        flags = (NOT_FINITE * ~jnp.isfinite(evidence)).astype(jnp.int32)
        info = Info(evidence, (mean, variance), pit, jnp.full((), jnp.nan, mean.dtype), flags)
        return DiffuseGaussian(m, p, diffuse, belief.time), info
