"""The Kalman filter, parallel in time."""

from typing import Any

import jax
import jax.numpy as jnp

from filterlearn.filters.base import check_form, form_for, linear_correction, linear_prediction, linear_start
from filterlearn.forms.base import Passage
from filterlearn.models.base import Diffuse
from filterlearn.numerics.lanes import in_lanes
from filterlearn.numerics.masking import observed
from filterlearn.numerics.small import lower_solve
from filterlearn.protocol import AbstractAlgorithm, origin_of


class ParallelKalman(AbstractAlgorithm):
    """`Kalman`, with a whole series filtered in lanes side by side, by joining its steps (Sarkka & Garcia-Fernandez 2021,
    doi:10.1109/TAC.2020.2976316; by square roots Yaghoobi et al. 2022, arXiv:2207.00426).

    Exact, like `Kalman`, and so is the evidence: for `run`, `log_evidence` and `fit` where there are many cores; a stream is
    filtered step by step. `form` as in `Kalman`. The noise of a gap and its datum together must be nonsingular: an exact
    sensor read twice at one time is flagged not finite. A diffuse start is refused with TypeError.
    """

    form: Any = None

    def __check_init__(self):
        check_form(self.form)

    def init(self, problem, *, key=None):
        """The initial law."""
        if isinstance(problem.resolve().initial, Diffuse):
            raise TypeError("initial: ParallelKalman needs a proper start, got Diffuse; use Kalman, or give a Gaussian")
        return linear_start(self, problem)

    def predict(self, problem, belief, time, inputs=None, *, key=None):
        """A m + b, A P A' + Q."""
        return linear_prediction(self, problem, belief, time, inputs)

    def update(self, problem, belief, datum, *, key=None):
        """The correction by a datum."""
        return linear_correction(self, problem, belief, datum)

    def sweep(self, advance, read, belief, rows):
        """In lanes, each from the belief that the passages before it lead to."""
        form, zero = form_for(self.form, belief.mean.dtype), jnp.zeros_like(belief.covariance)
        times = jax.vmap(lambda row: read(row)[2].time)(rows)
        starts = jnp.maximum(jnp.concatenate([belief.time[None], times[:-1]]), belief.time)
        steps = jax.vmap(lambda start, row: self._passage(form, start, *read(row)[1:]))(starts, rows)
        nothing = Passage(jnp.eye(len(zero), dtype=zero.dtype), zero[0], zero, zero[0], zero)
        known = Passage(zero, belief.mean, form.spread(belief), zero[0], zero)

        def begun(step, row):
            return form.belief(step.mean, step.spread, row[0])

        def onward(carry, row):
            return advance(carry, row[1])

        return in_lanes(onward, (starts, rows), steps, form.joined, nothing, known, begun)

    def _passage(self, form, start, problem, datum):
        """A gap and its datum; a datum before the start tells nothing."""
        model, time = problem.resolve(), jnp.maximum(start, datum.time)
        a, b, q = model.transition.discretise(origin_of(start, time), time, datum.inputs)
        h, d, r = model.observation.linear(time, datum.inputs)
        mask = observed(datum.value) & (datum.time >= start)
        new = form.corrected(form.of(q), h, r, mask)
        error = jnp.where(mask, datum.value - h @ b - d, 0.0)
        white = lower_solve(new.root, jnp.where(mask[:, None], h, 0.0))
        told = form.moved(form.of_factor(white.T), a.T, form.of_factor(jnp.zeros_like(a[:, :0])))
        vector = (white @ a).T @ lower_solve(new.root, error[:, None])[:, 0]
        return Passage(a - new.gain @ (h @ a), b + new.gain @ error, new.spread, vector, told)
