"""Ranks of what happened among draws of what was believed."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int
from scipy.stats import chi2

_BINS, _EXPECTED = 20, 10  # at most so many groups, of at least so many ranks each


def ranks(draws: Float[Array, "*k N m"], values: Float[Array, "*k m"], *, key) -> Int[Array, "*k m"]:
    """How many of N draws are below each value, 0 to N, ties broken at random; -1 where a value is missing.

    Uniform when value and draws have one law (Anderson 1996, doi:10.1175/1520-0442(1996)009<1518:AMFPAE>2.0.CO;2; Hamill
    2001, doi:10.1175/1520-0493(2001)129<0550:IORHFV>2.0.CO;2): the rank histogram of an ensemble, or of a posterior.
    """
    value = values[..., None, :]
    below, ties = jnp.sum(draws < value, axis=-2), jnp.sum(draws == value, axis=-2)
    above = jnp.floor(jax.random.uniform(key, ties.shape) * (ties + 1)).astype(below.dtype)
    return jnp.where(jnp.isnan(values), -1, below + above).astype(jnp.int32)


def uniformity(rank, size: int):
    """The p-value of a chi-squared test that independent ranks 0 to `size`, along the first axis, are uniform; (...).

    In at most 20 groups, of at least 10 ranks expected in each; missing ranks (-1) are left out. NaN for fewer than 20.
    """
    rank = np.asarray(rank)
    return np.apply_along_axis(_uniformity, 0, rank, size)[()]


def _uniformity(rank, size):
    told = rank[rank >= 0]
    groups = min(_BINS, size + 1, len(told) // _EXPECTED)
    if groups < 2:
        return np.nan
    edges = np.ceil(np.arange(groups + 1) * (size + 1) / groups)
    expected = np.diff(edges) * len(told) / (size + 1)
    found = np.histogram(told, edges - 0.5)[0]
    return chi2.sf(np.sum((found - expected) ** 2 / expected), groups - 1)
