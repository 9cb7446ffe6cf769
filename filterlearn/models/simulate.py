"""Draws of the states and observations of a model."""

import equinox as eqx
import jax
import jax.numpy as jnp

from filterlearn.inputs import as_inputs, by_row
from filterlearn.models.base import starting_sample


def path(model, x0, t0, times, inputs, key):
    """One draw of the states and observations at the times, from x0 at t0."""

    rows, read = by_row(inputs)

    def one(carry, each):
        x, t, k = carry
        time, u = each[0], read(each[1])
        k, move, see = jax.random.split(k, 3)
        x = model.transition.sample(x, t, time, u, key=move)
        return (x, time, k), (x, model.observation.sample(x, time, u, key=see))

    return jax.lax.scan(one, (x0, t0, key), (times, rows))[1]


@eqx.filter_jit
def _simulate(problem, times, inputs, key):
    model = problem.resolve()
    first, rest = jax.random.split(key)
    x0, t0 = starting_sample(model.initial, 1, first)
    return path(model, x0[0], jnp.where(jnp.isinf(t0), times[0], t0), times, inputs, rest)


def simulate(model, times, *, inputs=None, key):
    """States `(T, n)` and observations `(T, m)` at the times, drawn from the model (a StateSpaceModel or `family(theta)`)."""
    times = jnp.asarray(times, float)
    return _simulate(model, times, as_inputs(inputs), key)
