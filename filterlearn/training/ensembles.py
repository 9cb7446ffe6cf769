"""Ensembles of modules: trained side by side, and what they predict together."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp

from filterlearn.data import checked
from filterlearn.inputs import as_inputs
from filterlearn.models.gaps import distinct_gaps
from filterlearn.numerics.densities import log_mean_exp
from filterlearn.protocol import Forecast, forecast, scan
from filterlearn.training import descent
from filterlearn.training.loop import Trained, driven, finished, judged, planned, rows
from filterlearn.training.step_size import effect_of


def train_ensemble(
    objective,
    modules,
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
    """`train` of many modules side by side: a deep ensemble, which differs in where it starts and in the order of its series
    (Lakshminarayanan, Pritzel & Blundell 2017, arXiv:1612.01474).

    `modules` is one pytree whose arrays have a member in each row, such as `eqx.filter_vmap(make)(keys)`. Member k is trained
    as `train` would under `split(key, members)[k]`; training ends when patience is out for all. Everything told has the
    member first; a member that stopped keeps its weights, and a warning says where.
    """
    weights, fixed = eqx.partition(modules, eqx.is_inexact_array)
    members = rows("modules", eqx.filter(modules, eqx.is_array))
    told = progress, checkpoint
    plan = planned(objective, optimiser, weights, data, steps, batch, held_out, patience, every, told)
    keys = jax.random.split(key, members)
    many = eqx.filter_vmap(descent.begun, in_axes=(None, None, 0, eqx.if_array(0), None, None, None, 0))
    state = many(objective, plan.optimiser, weights, fixed, data, plan.steps, plan.looks, keys)
    state = driven(_advanced, _looked, plan, objective, fixed, data, held_out, keys, state)
    out, one = finished(state, fixed, held_out), jax.tree.map(lambda leaf: leaf[0] if eqx.is_array(leaf) else leaf, modules)
    return judged(_effects, plan, objective, out, one, data if held_out is None else held_out, keys)


@eqx.filter_jit
def _advanced(objective, optimiser, batch, fixed, data, keys, until, state):
    many = eqx.filter_vmap(descent.advanced, in_axes=(None, None, None, eqx.if_array(0), None, 0, None, 0))
    return many(objective, optimiser, batch, fixed, data, keys, until, state)


@eqx.filter_jit
def _looked(objective, batch, fixed, held_out, keys, every, state):
    many = eqx.filter_vmap(descent.looked, in_axes=(None, None, eqx.if_array(0), None, 0, None, 0))
    return many(objective, batch, fixed, held_out, keys, every, state)


@eqx.filter_jit
def _effects(objective, finer, weights, fixed, series, keys):
    many = eqx.filter_vmap(effect_of, in_axes=(None, None, 0, eqx.if_array(0), None, 0))
    return many(objective, finer, weights, fixed, series, keys)


class Blend(eqx.Module):
    """One-step predictions of an equal mixture: `log_score` `(T,)`, the log density at each datum, `pit` `(T, m)`, its
    distribution function there (NaN where missing), and `members` `(members, T)`, the log density of each."""

    log_score: Any
    pit: Any
    members: Any


def blend(build: Callable, modules, algorithm, data, *, key=None) -> Blend:
    """Every member `build(module)` filters the series by `algorithm`; their predictions of y_k given y_1..k-1 are averaged as
    densities, with equal weights (a linear pool, Stone 1961, doi:10.1214/aoms/1177704873). As exact as the algorithm.
    """
    return _blend(build, modules, algorithm, checked(data), distinct_gaps(data.times), key)


@eqx.filter_jit
def _blend(build, modules, algorithm, data, gaps, key):
    def one(module):
        kept = lambda belief, info: (info.log_evidence, info.pit)  # noqa: E731
        return scan(algorithm, build(module), data, gaps, key, kept)[1]

    scores, pits = eqx.filter_vmap(one)(modules)
    return Blend(jax.vmap(log_mean_exp, in_axes=1)(scores), jnp.mean(pits, axis=0), scores)


def forecast_ensemble(build: Callable, modules, algorithm, data, times, *, inputs=None, key, draws: int = 100) -> Forecast:
    """Draws of the future after a series: `draws` of each member, `(members draws, T, ...)`, one member after another; the
    spread among members is what the data leave open about the module."""
    members = rows("modules", eqx.filter(modules, eqx.is_array))
    times = jnp.asarray(times, checked(data).times.dtype)
    keys, inputs = jax.random.split(key, members), as_inputs(inputs, times.dtype)
    ahead = _forecasts(build, modules, algorithm, data, distinct_gaps(data.times), times, inputs, keys, draws)
    return jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), ahead)


@eqx.filter_jit
def _forecasts(build, modules, algorithm, data, gaps, times, inputs, keys, draws):
    def one(module, key):
        first, second = jax.random.split(key)
        model = build(module)
        last, _ = scan(algorithm, model, data, gaps, first, lambda belief, info: ())
        return forecast(algorithm, model, last, times, inputs=inputs, key=second, draws=draws)

    return eqx.filter_vmap(one)(modules, keys)
