"""Data made small by a network before a filter sees them."""

import equinox as eqx
import jax
import jax.numpy as jnp

from filterlearn.data import Dataset
from filterlearn.inputs import AbstractInputs


def encoded(encoder, data) -> Dataset:
    """The series of the encoder's answers (y `(m,)`, variances `(m,)`): y as values, the variances before the inputs.

    `encoder(value)` reads a datum of any size without missing entries: an image, say. An observation of y then has
    `covariance=lambda t, u: jnp.diag(u[:m])`; filters, learners and `train` go on as with any data, and derivatives reach
    the encoder (Becker et al. 2019, arXiv:1905.07357). A row with a missing entry is missing wholly. Raises TypeError for
    inputs that are functions of time.
    """
    if isinstance(data.inputs, AbstractInputs):
        raise TypeError(f"inputs: rows are needed, got {type(data.inputs).__name__}")
    seen = ~jnp.isnan(data.values).any(axis=1, keepdims=True)
    values, variances = jax.vmap(encoder)(jnp.where(seen, data.values, 0.0))
    inputs = variances if data.inputs is None else jnp.concatenate([variances, data.inputs], axis=1)
    return eqx.tree_at(
        lambda d: (d.values, d.inputs), data, (jnp.where(seen, values, jnp.nan), inputs), is_leaf=lambda leaf: leaf is None
    )
