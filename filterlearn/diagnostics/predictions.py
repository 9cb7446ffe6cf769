"""Draws of what was predicted of each datum."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from filterlearn.beliefs.base import AbstractBelief, present
from filterlearn.beliefs.joint import AbstractJointBelief
from filterlearn.inputs import by_row
from filterlearn.protocol import Trajectory, same, strong


def predictions(algorithm, problem, trajectory, *, key, draws: int = 500) -> Float[Array, "T N m"]:
    """Draws of p(y_k | y_1..k-1) at each datum of a trajectory that `run` made without `save`,

        y = observation(x),   x ~ predict(belief after datum k - 1),

    with the parameters, for a learner, moved and drawn together with the state. As exact as the algorithm's prediction: for
    particles and ensembles draws of their points. Raises TypeError when the trajectory does not hold its beliefs.
    """
    kept = isinstance(trajectory, Trajectory) and isinstance(trajectory.saved, tuple)
    if not kept or not isinstance(trajectory.saved[0], AbstractBelief):
        raise TypeError("trajectory: the beliefs are needed; take what run(...) returns without `save`")
    return _predictions(algorithm, problem, trajectory.beliefs, trajectory.data, key, draws)


@eqx.filter_jit
def _predictions(algorithm, problem, beliefs, data, key, draws):
    first, rest = jax.random.split(key)
    start = same(jax.tree.map(lambda leaf: leaf[0], beliefs), strong(algorithm.init(problem, key=first)))
    before = jax.tree.map(lambda a, b: jnp.concatenate([a[None], b[:-1]]), start, beliefs)
    rows, read = by_row(data.inputs)

    def one(each):
        belief, time, row, key = each
        inputs = read(row)
        move, look, see = jax.random.split(key, 3)
        ahead = present(algorithm.predict(problem, belief, time, inputs, key=move))
        sights = jax.random.split(see, draws)
        if isinstance(ahead, AbstractJointBelief):
            states, thetas = ahead.sample_both(draws, key=look)
            return jax.vmap(lambda x, th, k: _seen(problem(th), x, time, inputs, k))(states, thetas, sights)
        return jax.vmap(lambda x, k: _seen(problem, x, time, inputs, k))(ahead.sample(draws, key=look), sights)

    return jax.lax.map(one, (before, data.times, rows, jax.random.split(rest, len(data))))


def _seen(problem, x, time, inputs, key):
    return problem.resolve().observation.sample(x, time, inputs, key=key)
