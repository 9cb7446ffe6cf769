"""The Kalman filter."""

from typing import Any

import jax
import jax.numpy as jnp

from filterlearn.beliefs.gaussian import DiffuseGaussian
from filterlearn.filters.base import check_form, form_for, formed, gaussian_info
from filterlearn.models.base import AbstractLinearTransition, starting_gaussian
from filterlearn.models.observations.linear_gaussian import LinearGaussianObservation
from filterlearn.numerics.densities import LOG_2PI
from filterlearn.numerics.masking import choose, filled, masked_covariance, observed
from filterlearn.numerics.small import lower_solve, product, semidefinite_factor, symmetric
from filterlearn.protocol import NOT_FINITE, AbstractAlgorithm, Info, origin_of, strong


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
        model = problem.resolve()
        if not isinstance(model.transition, AbstractLinearTransition):
            name = type(model.transition).__name__
            raise TypeError(f"transition: Kalman needs a linear one, got {name}; use ExtendedKalman")
        if not model.transition.gaussian:
            raise TypeError(
                "transition: Kalman needs Gaussian noise, got jumps; use ExtendedKalman, which matches their moments"
            )
        if not isinstance(model.observation, LinearGaussianObservation):
            name = type(model.observation).__name__
            raise TypeError(f"observation: Kalman needs LinearGaussianObservation, got {name}; use ExtendedKalman")
        start = strong(starting_gaussian(model.initial))
        return start if isinstance(start, DiffuseGaussian) else formed(self.form, start)

    def predict(self, problem, belief, time, inputs=None, *, key=None):
        """A m + b, A P A' + Q."""
        a, b, q = problem.resolve().transition.discretise(origin_of(belief.time, time), time, inputs)
        mean = product(a, belief.mean[:, None])[:, 0] + b
        if isinstance(belief, DiffuseGaussian):
            parts = (mean, symmetric(a @ belief.covariance @ a.T + q), symmetric(a @ belief.diffuse @ a.T))
            return DiffuseGaussian(*parts, time)
        form = form_for(self.form, mean.dtype)
        return form.belief(mean, form.moved(form.spread(belief), a, form.of(q)), time)

    def update(self, problem, belief, datum, *, key=None):
        """The correction by a datum."""
        h, d, r = problem.resolve().observation.linear(datum.time, datum.inputs)
        if isinstance(belief, DiffuseGaussian):
            return self._diffuse(belief, h, d, r, datum)
        return self._proper(belief, h, d, r, datum)

    def _proper(self, belief, h, d, r, datum):
        mask, form = observed(datum.value), form_for(self.form, belief.mean.dtype)
        mean = product(h, belief.mean[:, None])[:, 0] + d
        error = filled(datum.value, mean) - mean
        new = form.corrected(form.spread(belief), h, r, error, mask)
        after = form.belief(belief.mean + new.shift, new.spread, belief.time)
        return choose(mask.any(), after, belief), gaussian_info(error, new.root, new.variance, mask, mean)

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
