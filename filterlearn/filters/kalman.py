"""The Kalman filter."""

from typing import Any

import jax
import jax.numpy as jnp

from filterlearn.beliefs.gaussian import DiffuseGaussian
from filterlearn.filters.base import check_form, linear_correction, linear_prediction, linear_start
from filterlearn.numerics.diffuse import Vague, conditioned
from filterlearn.numerics.masking import filled, masked_covariance, observed
from filterlearn.numerics.small import symmetric
from filterlearn.protocol import NOT_FINITE, AbstractAlgorithm, Info, origin_of


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
        h0 = jnp.where(mask[:, None], h, 0.0)
        law = Vague(belief.mean, belief.covariance, belief.diffuse)
        unknown = jnp.diagonal(h @ belief.diffuse @ h.T) > 0
        variance = jnp.where(unknown, jnp.inf, jnp.diagonal(h @ belief.covariance @ h.T + r))
        after, terms = conditioned(law, h0, error + h0 @ belief.mean, masked_covariance(r, mask), mask)
        evidence = jnp.sum(terms)
        pit = jnp.where(mask, jax.scipy.special.ndtr(error / jnp.sqrt(variance)), jnp.nan)
        flags = (NOT_FINITE * ~jnp.isfinite(evidence)).astype(jnp.int32)
        info = Info(evidence, (mean, variance), pit, jnp.full((), jnp.nan, mean.dtype), flags)
        return DiffuseGaussian(*after, belief.time), info
