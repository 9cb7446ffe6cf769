"""Worlds drawn from a family: parameters from their prior, moving by their laws, states and data."""

import jax

from filterlearn.learners.joint import stacked
from filterlearn.models.simulate import simulate


def simulated(family, truth, times, inputs, keys):
    """(states with the parameters behind them `(worlds, T, n + p)`, values `(worlds, T, m)`) of `truth`, or of the family
    where that is None. Raises ValueError for a truth with other parameters."""
    world = family if truth is None else truth
    if world.names != family.names or world.size != family.size:
        raise ValueError(f"truth: the parameters {list(family.names)} are needed, got {list(world.names)}")
    model = stacked(world)
    return jax.vmap(lambda key: simulate(model, times, inputs=inputs, key=key))(keys)
