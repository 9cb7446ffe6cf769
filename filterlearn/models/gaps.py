"""Each distinct gap of a series is discretised once, before the scan."""

from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from filterlearn.models.base import StateSpaceModel

_FEW = 8  # tables of at most this many gaps are read inside the scan; longer ones are laid out row by row


class Gaps(NamedTuple):
    """The distinct gaps of T times: `first`, a row that ends a gap of each kind, and `kind` `(T,)`, that of each row."""

    first: Any
    kind: Any


def distinct_gaps(times) -> Gaps:
    """The distinct gaps, exactly, where the times can be seen; every gap by itself inside a trace, or where most differ.

    The count is padded to a power of two, so that series of one length retrace at most log2 T times.
    """
    every = np.arange(len(times))
    if isinstance(times, Tracer):
        return Gaps(every, every)
    _, first, kind = np.unique(np.diff(np.asarray(times)), return_index=True, return_inverse=True)
    size = 1 << max(len(first) - 1, 0).bit_length()
    if not len(first) or size >= len(times):
        return Gaps(every, every)
    return Gaps(np.pad(first + 1, (0, size - len(first)), mode="edge"), np.append(0, kind))


def prepared(problem, start, times, gaps: Gaps) -> tuple[Any, Callable]:
    """(what a scan over the times takes row by row, the problem from one such row), for a belief that starts at `start`.

    The transition of a model is asked for the law of each distinct gap; a family is left to its learner.
    """
    opening = jnp.sum(times < start)  # the first row that is not late; its gap begins at the start
    widths = jnp.append((times - jnp.roll(times, 1))[gaps.first], times[opening] - start)
    laws = problem.transition.over(widths) if isinstance(problem, StateSpaceModel) else None
    if laws is None:
        return None, lambda row: problem
    kind = jnp.asarray(gaps.kind).at[opening].set(len(gaps.first))

    def law(k):
        return jax.tree.map(lambda leaf: leaf[k], laws)

    few = len(gaps.first) < _FEW
    rows = kind if few else jax.vmap(law)(kind)
    return rows, lambda row: eqx.tree_at(lambda model: model.transition, problem, law(row) if few else row)
