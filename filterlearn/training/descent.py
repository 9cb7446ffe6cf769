"""One compiled descent: minibatches, gradients, steps, and the loss on what is held out."""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import optax

from filterlearn.protocol import strong

_HELD_OUT = 2**31 - 1  # folded into the key; the number of a step is smaller


class Progress(NamedTuple):
    """Where a descent stands: `step` steps are done, `losses` `(steps,)` and `held_out` `(looks + 1,)` are NaN from there on,
    and `best`, of the step `kept`, are the weights with the least loss on what is held out. `broken`: the next step is not
    finite."""

    step: Any
    weights: Any
    memory: Any
    losses: Any
    held_out: Any
    best: Any
    kept: Any
    broken: Any


def begun(objective, optimiser, weights, fixed, data, steps: int, looks: int, key) -> Progress:
    """Before the first step."""
    one = jax.eval_shape(lambda w: objective.loss(eqx.combine(w, fixed), row(data, 0), key), weights)
    if getattr(one, "shape", None) != () or not jnp.issubdtype(one.dtype, jnp.floating):
        raise TypeError(f"objective: its loss must be one number, got {one}")
    losses, held_out = jnp.full(steps, jnp.nan, one.dtype), jnp.full(looks + 1, jnp.nan, one.dtype)
    weights = strong(weights)
    zero = jnp.zeros((), jnp.int32)
    return Progress(zero, weights, strong(optimiser.init(weights)), losses, held_out, weights, zero, jnp.array(False))


def row(data, k):
    """Series k."""
    return jax.tree.map(lambda leaf: leaf[k], data)


def length(data) -> int:
    """How many series."""
    return jax.tree.leaves(data)[0].shape[0]


def advanced(objective, optimiser, batch: int, fixed, data, key, until, state: Progress) -> Progress:
    """Steps until there are `until`, or until the loss, its gradient or a weight is not finite: such a step is not taken.

    Each pass over the data takes the series in a new order, `batch` at a time. The number of a step alone gives its
    series and its random numbers.
    """
    optimiser = optax.with_extra_args_support(optimiser)

    def step(now: Progress):
        picked, own = row(data, chosen(length(data), batch, key, now.step)), jax.random.fold_in(key, now.step)

        def loss(weights):
            return mean_loss(objective, eqx.combine(weights, fixed), picked, own)

        value, slope = jax.value_and_grad(loss)(now.weights)
        extra = {"value": value, "grad": slope, "value_fn": loss}
        update, memory = optimiser.update(slope, now.memory, now.weights, **extra)
        weights = optax.apply_updates(now.weights, update)
        finite = jnp.isfinite(value) & all_finite(weights)
        after = jax.tree.map(
            lambda new, old: jnp.where(finite, new, old).astype(old.dtype), (weights, memory), (now.weights, now.memory)
        )
        losses = now.losses.at[now.step].set(value)
        return Progress(now.step + finite, *after, losses, now.held_out, now.best, now.kept, ~finite)

    return jax.lax.while_loop(lambda now: (now.step < until) & ~now.broken, step, state)


def looked(objective, batch: int, fixed, held_out, key, every: int, state: Progress) -> Progress:
    """The mean loss on what is held out, under the same key at each look; the best weights are kept."""
    module, own = eqx.combine(state.weights, fixed), jax.random.fold_in(key, _HELD_OUT)
    keys = jax.random.split(own, length(held_out))
    losses = jax.lax.map(lambda pair: objective.loss(module, *pair), (held_out, keys), batch_size=batch)
    value = jnp.mean(losses).astype(state.held_out.dtype)
    look = (state.step + every - 1) // every
    better = ~(value >= jnp.nanmin(state.held_out))  # the first one too
    best = jax.tree.map(lambda new, old: jnp.where(better, new, old), state.weights, state.best)
    kept = jnp.where(better, state.step, state.kept)
    return state._replace(held_out=state.held_out.at[look].set(value), best=best, kept=kept)


def chosen(series: int, batch: int, key, step):
    """The numbers of the series of a step."""
    a_pass = series // batch
    order = jax.random.permutation(jax.random.fold_in(jax.random.fold_in(key, _HELD_OUT - 1), step // a_pass), series)
    return jax.lax.dynamic_slice(order, ((step % a_pass) * batch,), (batch,))


def mean_loss(objective, module, series, key):
    """The mean over a minibatch."""
    keys = jax.random.split(key, length(series))
    return jnp.mean(jax.vmap(lambda each, own: objective.loss(module, each, own))(series, keys))


def all_finite(tree):
    """Whether every entry of every array is finite."""
    return jnp.all(jnp.stack([jnp.all(jnp.isfinite(leaf)) for leaf in jax.tree.leaves(tree)]))
