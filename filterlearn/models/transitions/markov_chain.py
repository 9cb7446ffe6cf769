"""Finite states: Markov chains in discrete and in continuous time."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from filterlearn.models.base import AbstractFinite, arrays, value_at
from filterlearn.numerics.discretise import linear_laws


def _checked(name, given, total):
    """A square array `(K, K)` whose rows have the right sum and no negative entry off the diagonal, or a function."""
    given = arrays(given)
    if callable(given):
        return given
    if given.ndim != 2 or given.shape[0] != given.shape[1]:
        raise ValueError(f"{name}: shape (K, K) is needed, got {given.shape}")
    if isinstance(given, Tracer):
        return given
    rows = np.asarray(given, float)
    if (rows[~np.eye(len(rows), dtype=bool)] < 0).any():
        raise ValueError(f"{name}: no negative entry off the diagonal is needed, got {rows.min():g}")
    if (abs(rows.sum(1) - total) > 1e-5 * max(1.0, abs(rows).max())).any():
        raise ValueError(f"{name}: rows that sum to {total} are needed, got {rows.sum(1).tolist()}")
    return given


class MarkovChain(AbstractFinite):
    """The state is one of K, numbered from 0 as a vector of one entry; P(x' = j given x = i) = P_ij, once for each strictly
    later time (Norris 1997, chapter 1, ISBN 9780521633963). `matrix` P `(K, K)` or a function of (t, u), at the new time.
    Raises ValueError for negative entries and rows that do not sum to 1."""

    matrix: Any

    def __init__(self, matrix):
        self.matrix = _checked("matrix", matrix, 1)

    def probabilities(self, t0, t1, u=None):
        """P, or the identity at equal times."""
        p = value_at(self.matrix, t1, u)
        return jnp.where(t1 > t0, p, jnp.eye(p.shape[0], dtype=p.dtype))


class MarkovProcess(AbstractFinite):
    """The state is one of K, numbered from 0 as a vector of one entry; it leaves i for j at the rate G_ij per unit of the
    data's time, so that over a gap h the probabilities are exp(G h), exactly (Norris 1997, chapter 2, ISBN 9780521633963).
    `generator` G `(K, K)`, or a function of (t, u), taken at the start of the gap. Raises ValueError for negative entries
    off the diagonal and rows that do not sum to 0."""

    generator: Any

    def __init__(self, generator):
        self.generator = _checked("generator", generator, 0)

    def _over(self, g, gaps):
        zero = jnp.zeros_like(g)
        return jnp.maximum(linear_laws(g, zero[0], zero, jnp.asarray(gaps, g.dtype))[0], 0.0)

    def probabilities(self, t0, t1, u=None):
        """exp(G h)."""
        return self._over(value_at(self.generator, t0, u), jnp.reshape(t1 - t0, 1))[0]

    def over(self, gaps):
        """The probabilities of each gap in one batch; None when the rates are a function of time or inputs."""
        return None if callable(self.generator) else jax.vmap(MarkovChain)(self._over(self.generator, gaps))
