"""Many small arrays as one, so that one transfer brings them all to the host."""

import dataclasses
import itertools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Packed:
    """The numbers of a pytree of arrays in one, on its last axis; `form` says how they stand there."""

    numbers: Any
    form: Any = dataclasses.field(metadata={"static": True})


def packed(tree) -> Packed:
    """Real arrays, whole numbers too, which are small enough to be exact in their common floating type."""
    leaves, form = jax.tree.flatten(tree)
    wide = jnp.result_type(*(leaf.dtype for leaf in leaves if jnp.issubdtype(leaf.dtype, jnp.floating)))
    numbers = jnp.concatenate([jnp.ravel(leaf).astype(wide) for leaf in leaves])
    ends = itertools.accumulate(leaf.size for leaf in leaves)
    parts = [(slice(end - x.size, end), x.shape, _other(x.dtype, wide)) for x, end in zip(leaves, ends, strict=True)]
    return Packed(numbers, (form, tuple(parts)))


def _other(dtype, wide):
    """The type of a leaf where it is not that of the numbers."""
    return None if dtype == wide else np.dtype(dtype)


def unpacked(numbers: np.ndarray, form):
    """The pytree again, of numpy arrays, with the axes before the last in front of each."""
    tree, parts = form
    front = numbers.shape[:-1]

    def leaf(part, shape, kind):
        own = numbers[..., part].reshape(front + shape)
        return own if kind is None else own.astype(kind)

    return jax.tree.unflatten(tree, [leaf(*each) for each in parts])
