"""The extended Kalman filter."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp

from filterlearn.clock import whole
from filterlearn.filters.base import check_form, form_for, gaussian_info, gaussian_start
from filterlearn.numerics.masking import choose, filled, observed
from filterlearn.protocol import AbstractAlgorithm, origin_of


class ExtendedKalman(AbstractAlgorithm):
    """First-order linearisation of each substep and of the observation (Jazwinski 1970, ISBN 9780486462745).

    `iterations` above 1 relinearises the observation about the corrected mean, always from the predicted belief, so that
    no datum counts twice (Bell & Cathey 1993, doi:10.1109/9.250476). Exact for linear-Gaussian models; otherwise biased: it
    uses the diffusion at the mean. The evidence is that of the linearisation about the predicted mean. `form` is
    `MomentForm()` or `SquareRootForm()`; None takes moments in double precision and square roots below it.
    """

    iterations: int = eqx.field(static=True, default=1)
    form: Any = None

    def __check_init__(self):
        check_form(self.form)
        whole("iterations", self.iterations, 1)

    def init(self, problem, *, key=None):
        """The initial law, by its moments."""
        return gaussian_start(self, problem)

    def predict(self, problem, belief, time, inputs=None, *, key=None):
        """m' = mean(m), P' = F P F' + L L', substep by substep."""
        transition, form = problem.resolve().transition, form_for(self.form, belief.mean.dtype)
        start = origin_of(belief.time, time)
        h = (time - start) / transition.substeps

        def one(carry, k):
            m, spread = carry
            t = start + k * h

            def law(x):
                mean, factor = transition.moments(x, t, t + h, inputs)
                return mean, (mean, factor)

            f, (mean, factor) = jax.jacfwd(law, has_aux=True)(m)
            return (mean, form.moved(spread, f, form.of_factor(factor))), None

        index = jnp.arange(transition.substeps, dtype=belief.mean.dtype)
        carry = (belief.mean, form.spread(belief))
        mean, spread = one(carry, index[0])[0] if len(index) == 1 else jax.lax.scan(one, carry, index)[0]
        return form.belief(mean, spread, time)

    def update(self, problem, belief, datum, *, key=None):
        """The correction by a datum, about the last iterate."""
        observation, form = problem.resolve().observation, form_for(self.form, belief.mean.dtype)
        mask, m, spread = observed(datum.value), belief.mean, form.spread(belief)

        def linearised(x):
            def law(z):
                mean, r = observation.moments(z, datum.time, datum.inputs)
                return mean, (mean, r)

            h, (mean, r) = jax.jacfwd(law, has_aux=True)(x)
            error = jnp.where(mask, observation.innovation(filled(datum.value, mean), mean), 0.0) - h @ (m - x)
            new = form.corrected(spread, h, r, mask)
            return gaussian_info(error, new.root, new.variance, mask, mean), (m + new.gain @ error, new.spread)

        info, new = linearised(m)
        for _ in range(self.iterations - 1):
            new = linearised(new[0])[1]
        return choose(mask.any(), form.belief(*new, belief.time), belief), info
