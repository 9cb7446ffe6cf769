"""The filter of finitely many states, parallel in time."""

import jax
import jax.numpy as jnp

from filterlearn.beliefs.particles import Particles
from filterlearn.filters.base import finite_correction, finite_prediction, finite_start
from filterlearn.numerics.densities import log_product, normalise, safe_log
from filterlearn.numerics.lanes import in_lanes
from filterlearn.numerics.masking import observed
from filterlearn.protocol import AbstractAlgorithm, origin_of


class ParallelHiddenMarkov(AbstractAlgorithm):
    """`HiddenMarkov`, with a whole series filtered in lanes side by side, by joining its steps (Hassan, Sarkka &
    Garcia-Fernandez 2021, doi:10.1109/TSP.2021.3103338). A step, or several, is the matrix

        log p(y, x = j | x before = i),

    and two are joined by the product of their exponentials, added up in logarithms so that none underflows.

    Exact, like `HiddenMarkov`, and so is the evidence: for `run`, `log_evidence` and `fit` where there are many cores, at K
    times its work for K states; a stream is filtered step by step.
    """

    def init(self, problem, *, key=None):
        """The initial probabilities."""
        return finite_start(self, problem)

    def predict(self, problem, belief, time, inputs=None, *, key=None):
        """P' w."""
        return finite_prediction(problem, belief, time, inputs)

    def update(self, problem, belief, datum, *, key=None):
        """w times the densities."""
        return finite_correction(problem, belief, datum)

    def sweep(self, advance, read, belief, rows):
        """In lanes, each from the belief that the steps before it lead to."""
        size = belief.log_weights.shape[0]
        times = jax.vmap(lambda row: read(row)[2].time)(rows)
        starts = jnp.maximum(jnp.concatenate([belief.time[None], times[:-1]]), belief.time)
        steps = jax.vmap(lambda start, row: _step(belief.points, start, *read(row)[1:]))(starts, rows)
        nothing = safe_log(jnp.eye(size, dtype=steps.dtype))
        known = jnp.broadcast_to(belief.log_weights, (size, size))

        def begun(step, row):
            return Particles(belief.points, normalise(step[0])[0], row[0])

        def onward(carry, row):
            return advance(carry, row[1])

        return in_lanes(onward, (starts, rows), steps, log_product, nothing, known, begun)


def _step(points, start, problem, datum):
    """A gap and its datum; a datum before the start tells nothing."""
    model, time = problem.resolve(), jnp.maximum(start, datum.time)
    moved = safe_log(model.transition.among(points.shape[0], origin_of(start, time), time, datum.inputs))
    density = jax.vmap(lambda x: model.observation.log_prob(datum.value, x, time, datum.inputs))(points)
    told = observed(datum.value).any() & (datum.time >= start)
    step = moved + jnp.where(told, jnp.where(jnp.isfinite(density), density, -jnp.inf), 0.0)
    return step.astype(points.dtype)
