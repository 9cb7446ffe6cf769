"""Whether a learner is calibrated while its stream goes on."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from filterlearn.beliefs.base import present
from filterlearn.clock import whole
from filterlearn.data import Datum
from filterlearn.diagnostics.calibrated import Calibration
from filterlearn.diagnostics.ranks import ranks
from filterlearn.diagnostics.worlds import simulated
from filterlearn.inputs import as_inputs, by_row
from filterlearn.protocol import same, step, stream_keys, strong

_TOGETHER = 100  # worlds side by side


def calibrate_stream(learner, family, times, *, at, truth=None, inputs=None, worlds: int = 1000, draws: int = 99, key):
    """Ranks of theta_t and x_t among draws of what a learner believes after each of the numbers of data `at`, in so many
    worlds whose parameters are drawn from the prior and move by their laws: a `Calibration` with a name for each of them at
    each time. Uniform at every time when the learner is exact (Cook, Gelman & Rubin 2006, doi:10.1198/106186006X136976, of
    the filtering law at each time).

    Everything runs in one compiled call. `inputs` are those of every world; `truth`, a family with the same parameters, draws
    the worlds instead. Raises ValueError for a number outside 1 to T, and for a `truth` with other parameters.
    """
    times = jnp.asarray(times, family.median.dtype)
    whole("worlds", worlds, 1)
    if not all(1 <= k <= len(times) for k in at):
        raise ValueError(f"at: numbers of data from 1 to {len(times)} are needed, got {list(at)}")
    inputs = as_inputs(inputs, times.dtype)
    first, second = jax.random.split(key)
    states, values = simulated(family, truth, times, inputs, jax.random.split(first, worlds))
    keys = jax.random.split(second, worlds)
    found = np.asarray(_ranks(learner, family, times, inputs, jnp.asarray(at), draws, states, values, keys))
    entries = [*(f"x[{i}]" for i in range(states.shape[2] - family.size)), *family.entries]
    named = {f"{name} at {k}": found[:, i, j] for i, k in enumerate(at) for j, name in enumerate(entries)}
    return Calibration(named, draws)


@eqx.filter_jit
def _ranks(learner, family, times, inputs, at, draws, states, values, keys):
    """`(worlds, len(at), n + p)`."""
    rows, read = by_row(inputs)
    numbers = jnp.arange(1, len(times) + 1)

    def rank(belief, truth, key):
        first, second = jax.random.split(key)
        known: Any = present(belief)
        return ranks(jnp.concatenate(known.sample_both(draws, key=first), axis=1), truth, key=second)

    def world(each):
        states, values, key = each
        stream, ranking = jax.random.split(key)
        own = stream_keys(stream, len(times))

        def advance(carry, row):
            belief, found = carry
            k, key, time, value, given, truth = row
            after = same(belief, step(learner, family, belief, Datum(time, value, read(given)), key=key)[0])
            asked = jnp.any(at == k)
            put = lambda f: jnp.where((at == k)[:, None], rank(after, truth, jax.random.fold_in(ranking, k)), f)  # noqa: E731
            return (after, jax.lax.cond(asked, put, lambda f: f, found)), None

        begin = strong(learner.init(family, key=own[0])), jnp.zeros((len(at), states.shape[1]), jnp.int32)
        return jax.lax.scan(advance, begin, (numbers, own[1:], times, values, rows, states))[0][1]

    return jax.lax.map(world, (states, values, keys), batch_size=_TOGETHER)
