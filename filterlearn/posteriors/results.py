"""Draws as one ArviZ DataTree, whatever drew them."""

import arviz as az
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

from filterlearn.diagnostics.results import times_of, to_datatree
from filterlearn.inputs import AbstractInputs
from filterlearn.models.family import ModelFamily
from filterlearn.protocol import run

_BATCH = 64  # draws filtered side by side


@eqx.filter_jit
def _by_draw(target, draws):
    """Named values, their log prior densities, and the one-step terms of each draw."""
    flat = draws.reshape(-1, draws.shape[-1])
    values = jax.vmap(target.sampled.constrain)(flat)
    priors = {name: p.prior for name, p in target.sampled.parameters.items()}
    log_prior = {name: jax.vmap(lambda v, p=p: jnp.sum(p.log_prob(v)))(values[name]) for name, p in priors.items()}
    named = jax.tree.map(lambda leaf: leaf.reshape(*draws.shape[:2], *leaf.shape[1:]), (values, log_prior))
    return *named, terms_by_draw(target, one_step, draws)


def terms_by_draw(target, each, draws):
    """each(target, theta), numbers `(T,)`, of draws `(chains, draws, p)`; a chain's repetitions are worked out once."""
    thetas = draws.reshape(-1, draws.shape[-1])
    new = jnp.any(thetas != jnp.roll(thetas, 1, axis=0), axis=1).at[0].set(True)
    rows = jnp.flatnonzero(new, size=-(-len(new) // _BATCH) * _BATCH, fill_value=0)

    def batch(i, out):
        some = jax.lax.dynamic_slice_in_dim(rows, i * _BATCH, _BATCH)
        terms = jax.vmap(lambda theta: each(target, theta))(thetas[some]).astype(out.dtype)
        return jax.lax.dynamic_update_slice_in_dim(out, terms, i * _BATCH, axis=0)

    blank = jnp.zeros((len(rows), len(target.data)), target.data.values.dtype)
    found = jax.lax.fori_loop(0, (jnp.sum(new) + _BATCH - 1) // _BATCH, batch, blank)
    return found[jnp.cumsum(new) - 1].reshape(*draws.shape[:2], -1)


def one_step(target, theta):
    """log p(y_k | y_1..k-1, theta)."""
    return target.terms(theta)


def _both(belief, info):
    return belief, info


def telling(likelihood):
    """The observations whose term depends on theta: not those that are missing, nor those spent on a diffuse start."""
    varies = np.ptp(likelihood, axis=(0, 1)) > 0
    return np.flatnonzero(varies if varies.any() else ~varies)


def posterior_datatree(target, data, drawn, median) -> xr.DataTree:
    """The groups of docs/results.md; `data` is the target's with its calendar.

    `filter` is one run at `median`, the posterior median of theta, coordinate by coordinate.
    """
    values, log_prior, likelihood = _by_draw(target, drawn.draws)
    groups = {
        "posterior": values,
        "sample_stats": drawn.statistics,
        "log_likelihood": {"y": likelihood},
        "log_prior": log_prior,
        "observed_data": {"y": data.values},
    }
    dims = {"y": ["time", "sensor"]}
    if data.inputs is not None:
        inputs = jax.vmap(data.inputs)(data.times) if isinstance(data.inputs, AbstractInputs) else data.inputs
        groups["constant_data"] = {"inputs": inputs}
        dims["inputs"] = ["time", *(f"input_{i}" for i in range(inputs.ndim - 1))]
    groups = {group: {name: np.asarray(v) for name, v in variables.items()} for group, variables in groups.items()}
    coords = {"time": times_of(data), "sensor": np.arange(data.values.shape[1])}
    tree = az.from_dict(groups, coords=coords, dims=dims)
    tree["sample_stats"].attrs |= {name: np.asarray(value).tolist() for name, value in drawn.attributes.items()}
    tree["log_likelihood"] = tree["log_likelihood"].isel(time=telling(groups["log_likelihood"]["y"]))
    tree["log_likelihood"].attrs["terms"] = "one step: log p(y_k | y_1..k-1, theta); later terms still see y_k"
    problem = target.problem(median)
    trajectory = run(target.algorithm, problem, data, key=target.key, save=_both)
    tree["filter"] = to_datatree(trajectory, problem if isinstance(problem, ModelFamily) else None)["filter"]
    tree["filter"].attrs["parameters"] = "posterior median of the unconstrained vector"
    return tree
