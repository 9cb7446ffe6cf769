"""Training a module."""

import functools
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax

from filterlearn.clock import whole
from filterlearn.training import descent
from filterlearn.training.step_size import effect_of, finer_of, warn_of

_RATE = 1e-2


class Trained(eqx.Module):
    """The module after training, the mean loss of each step's minibatch `(steps taken,)`, and the loss on what is held out
    `(looks + 1,)`, the first before training. With data held out, `module` is the one that did best on them, after `kept`
    steps; else the last one. `step_size` is the `StepEffect` of the solver's step on it, None where the objective has no
    steps or none were trained."""

    module: Any
    losses: Any
    held_out: Any
    kept: Any
    step_size: Any = None


def train(
    objective,
    module,
    data,
    *,
    optimiser=None,
    steps: int = 1000,
    batch: int | None = None,
    key,
    held_out=None,
    patience: int | None = None,
    every: int = 100,
    progress: Callable | None = None,
    checkpoint=None,
) -> Trained:
    """Makes the mean of `objective.loss(module, series, key)` over the series small, by stochastic gradients (Robbins & Monro
    1951, doi:10.1214/aoms/1177729586).

    `data` is a pytree whose leaves have a row for each series, such as `stacked([...])` of Datasets. What is trained are the
    floating arrays of `module`. `optimiser` is any of optax (None: Adam, its rate falling from .01 to 0 by a cosine); `batch`
    series go into a step (None: all). After each `every` steps the loss on `held_out` is looked at, `progress` is called with
    a line of text, `checkpoint`, a `Checkpoint(path)`, keeps where training stands, and training ends early when `patience`
    looks have brought nothing better. A run whose checkpoint is there goes on from it, equal to the bit.

    Where a step is not finite, training stops before it and a warning says which; another warns where the loss moves by more
    than 5 % at a quarter of the solver's step (Ott, Katiyar, Hennig & Tiemann 2020, arXiv:2007.15386). Raises
    FloatingPointError when the first step is not finite, ValueError or TypeError naming the argument.
    """
    weights, fixed = eqx.partition(module, eqx.is_inexact_array)
    told = progress, checkpoint
    plan = planned(objective, optimiser, weights, data, steps, batch, held_out, patience, every, told)
    state = descent.begun(objective, plan.optimiser, weights, fixed, data, steps, plan.looks, key)
    state = driven(_advanced, _looked, plan, objective, fixed, data, held_out, key, state)
    out = finished(state, fixed, held_out)
    return judged(effect_of, plan, objective, out, module, data if held_out is None else held_out, key)


def judged(effect, plan, objective, out, example, series, key) -> Trained:
    """With the effect of the solver's step, and a warning where it is large; `example` is a module like those trained."""
    finer = finer_of(objective, example) if plan.steps else None
    if finer is None:
        return out
    weights, fixed = eqx.partition(out.module, eqx.is_inexact_array)
    found = effect(objective, finer, weights, fixed, descent.row(series, slice(plan.batch)), key)
    warn_of(found)
    return eqx.tree_at(lambda each: each.step_size, out, found, is_leaf=lambda leaf: leaf is None)


class Plan(NamedTuple):
    """How long, in what portions, when to stop, and who is told."""

    optimiser: Any
    steps: int
    batch: int
    patience: int | None
    every: int
    told: tuple

    @property
    def looks(self) -> int:
        """How often the loss is looked at after the start."""
        return -(-self.steps // self.every)


def planned(objective, optimiser, weights, data, steps, batch, held_out, patience, every, told) -> Plan:
    """The checked plan."""
    if not callable(getattr(objective, "loss", None)):
        raise TypeError(f"objective: one with a method loss(module, series, key) is needed, got {type(objective).__name__}")
    if not jax.tree.leaves(weights):
        raise ValueError("module: it holds no floating array, so there is nothing to train")
    series = rows("data", data)
    if held_out is not None:
        rows("held_out", held_out)
    elif patience is not None:
        raise ValueError("patience: it counts looks at what is held out; give held_out, or leave patience out")
    size = series if batch is None else whole("batch", batch, 1)
    if size > series:
        raise ValueError(f"batch: at most the {series} series given, got {size}")
    calm = None if patience is None else whole("patience", patience, 1)
    steps = whole("steps", steps, 0)
    chosen = _default(max(steps, 1)) if optimiser is None else optimiser
    return Plan(chosen, steps, size, calm, whole("every", every, 1), told)


@functools.cache
def _default(steps):
    """The same object for the same steps, so that a second run compiles nothing."""
    return optax.adam(optax.cosine_decay_schedule(_RATE, steps))


def rows(name, data) -> int:
    """The number of series, or an error that says how to stack them."""
    shapes = [np.shape(leaf) for leaf in jax.tree.leaves(data)]
    lengths = sorted({shape[:1] for shape in shapes})
    if len(lengths) != 1 or lengths[0] in ((), (0,)):
        raise ValueError(
            f"{name}: leaves with a row for each series are needed, got shapes {shapes}; stack Datasets by stacked"
        )
    return lengths[0][0]


@eqx.filter_jit
def _advanced(objective, optimiser, batch, fixed, data, key, until, state):
    return descent.advanced(objective, optimiser, batch, fixed, data, key, until, state)


@eqx.filter_jit
def _looked(objective, batch, fixed, held_out, key, every, state):
    return descent.looked(objective, batch, fixed, held_out, key, every, state)


def driven(advance, look, plan: Plan, objective, fixed, data, held_out, key, state):
    """Portions of steps, a look after each, until the end, or no member gets better, or all are broken."""
    progress, checkpoint = plan.told
    facts = {"steps": plan.steps, "batch": plan.batch, "every": plan.every, "key": jax.random.key_data(key).tolist()}
    state = state if checkpoint is None else checkpoint.resumed(state, facts)
    done = int(np.max(state.step))
    if held_out is not None and done == 0:
        state = look(objective, plan.batch, fixed, held_out, key, plan.every, state)
    for portion in range(-(-done // plan.every), plan.looks):
        if np.all(state.broken) or _stale(state, plan):
            break
        until = jnp.int32(min((portion + 1) * plan.every, plan.steps))
        state = advance(objective, plan.optimiser, plan.batch, fixed, data, key, until, state)
        if held_out is not None:
            state = look(objective, plan.batch, fixed, held_out, key, plan.every, state)
        if checkpoint is not None:
            checkpoint.store(state, facts)
        if progress is not None:
            progress(line(state, plan))
    tell(state, plan)
    return state


def line(state, plan) -> str:
    """What is told after a portion."""
    loss = np.nanmean(np.asarray(state.losses)[..., max(0, int(np.max(state.step)) - plan.every) :])
    text = f"step {int(np.max(state.step))} of {plan.steps}: loss {loss:.6g}"
    held_out = np.asarray(state.held_out)
    return text if np.isnan(held_out).all() else f"{text}, held out {np.nanmin(held_out, axis=-1).mean():.6g} at best"


def _stale(state, plan) -> bool:
    """Whether no member did better in the last looks."""
    calm = np.inf if plan.patience is None else plan.patience * plan.every
    return bool(np.all(np.asarray(state.step) - np.asarray(state.kept) >= calm))


def tell(state, plan):
    """Warns of members that stopped before a step that is not finite; raises where all stopped before the first."""
    broken, step = np.atleast_1d(state.broken), np.atleast_1d(state.step)
    if not broken.any():
        return
    cure = "lower the rate of the optimiser, clip its gradients (optax.clip_by_global_norm), or start elsewhere"
    if (step[broken] == 0).all() and broken.all():
        loss = np.atleast_2d(state.losses)[0, 0]
        raise FloatingPointError(f"objective: the loss {loss:.6g} or its gradient is not finite at the first step; {cure}")
    where = ", ".join(f"{k} of {plan.steps}" for k in step[broken])
    warnings.warn(f"training stopped: the loss or its gradient is not finite at step {where}; {cure}", stacklevel=4)


def finished(state, fixed, held_out) -> Trained:
    """The weights to keep, and what was met on the way."""
    weights = state.weights if held_out is None else state.best
    kept = state.step if held_out is None else state.kept
    taken = int(np.max(np.asarray(state.step)))
    return Trained(eqx.combine(weights, fixed), state.losses[..., :taken], state.held_out, kept)
