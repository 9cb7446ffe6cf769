"""Draws of the events of a model."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from filterlearn.clock import whole
from filterlearn.data import Dataset
from filterlearn.models.base import starting_sample
from filterlearn.models.events import with_silence
from filterlearn.models.observations.point_process import PointProcess

_NEWTON = 5  # steps to the time of an event


def simulate_events(problem, until, *, step, most: int = 10_000, key) -> Dataset:
    """Events of a model with a `PointProcess` from the start of its state to `until`, as `event_data` lays them out.

    The integral of the intensity is followed from row to row, `step` apart at most, to a level drawn from the exponential
    law of mean 1, and the time of the crossing is found by Newton's method: exact where the state has no noise of its own
    and the transition is exact, else biased of weak order 1 in `step` (Ogata 1981, doi:10.1109/TIT.1981.1056305, by inversion
    instead of thinning). Raises TypeError for another observation, ValueError for more than `most` events or a model whose
    time of start is not given.
    """
    model = problem.resolve()
    if not isinstance(model.observation, PointProcess):
        raise TypeError(f"observation: PointProcess is needed, got {type(model.observation).__name__}")
    start = float(model.initial.time) if model.initial.time is not None else -np.inf
    if not start < until:
        raise ValueError(f"until: a number after the time of the initial law is needed, got {until!r} and {start:g}")
    if np.isinf(start):
        raise ValueError("initial: a time is needed at which the state starts, such as Gaussian(mean, covariance, time=0.0)")
    kinds, width = _widths(model)
    count, times, values = _simulated(problem, jnp.asarray(until), jnp.asarray(step), whole("most", most, 1), width, key)
    if count > most:
        raise ValueError(f"most: more than {most} events came before {until:g}; raise it")
    return with_silence(np.asarray(times)[:count], np.asarray(values)[:count], kinds, start, until)


@eqx.filter_jit
def _simulated(problem, until, step, most, width, key):
    """(number of events, their times, their values), with room for one more than `most`."""
    model = problem.resolve()
    first, second, third = jax.random.split(key, 3)
    x, start = starting_sample(model.initial, 1, first)
    x, until, y = x[0], until.astype(x.dtype), jnp.zeros(width, x.dtype)
    record = jnp.zeros(most + 1, x.dtype), jnp.zeros((most + 1, width), x.dtype)

    def one(carry):
        x, t, before, level, count, (times, values), key = carry
        key, *keys = jax.random.split(key, 4)
        new, now, here = _next_row(model, x, t, before, level, jnp.minimum(t + step, until), keys[0])
        after = jnp.where(here, model.observation.sample(new, now, before, key=keys[1]), 0.0)
        level = jnp.where(here, jax.random.exponential(keys[2], dtype=x.dtype), level - new[-1])
        row = jnp.where(here, count, most + 1)  # out of range: written nowhere
        record = times.at[row].set(now, mode="drop"), values.at[row].set(after, mode="drop")
        return new, now, after, level, count + here, record, key

    def more(carry):
        return (carry[1] < until) & (carry[4] <= most)

    begun = (x, start, y, jax.random.exponential(second, dtype=x.dtype), jnp.zeros((), int), record, third)
    count, record = jax.lax.while_loop(more, one, begun)[4:6]
    return count, *record


def _widths(model):
    """The numbers of kinds and of entries of a datum, by tracing a draw of it; inputs are as long as a datum."""

    def draw(key, u):
        x, t = starting_sample(model.initial, 1, key)
        return model.observation.rates(x[0], t, u), model.observation.sample(x[0], t, u, key=key)

    width = 1
    for _ in range(2):
        rates, datum = jax.eval_shape(draw, jax.random.key(0), jax.ShapeDtypeStruct((width,), float))
        width = datum.shape[0]
    return rates.shape[0], width


def _next_row(model, x, t, before, level, end, key):
    """(state, time, whether there is an event) at the next row: where the integral reaches the level, or at the end."""
    noise = jax.tree.map(lambda leaf: leaf[0], model.transition.draw_noise(1, x, before, key=key))

    def at(time):
        return model.transition.push(x, t, time, before, noise)

    def nearer(_, time):
        there = at(time)
        rate = jnp.sum(model.observation.rates(there, time, before))
        return jnp.clip(time - (there[-1] - level) / jnp.where(rate > 0, rate, jnp.inf), t, end)

    last = at(end)
    here = last[-1] >= level
    time = jax.lax.fori_loop(0, _NEWTON, nearer, t + (end - t) * level / jnp.where(here, last[-1], 1.0))
    return jnp.where(here, at(time), last), jnp.where(here, time, end), here
