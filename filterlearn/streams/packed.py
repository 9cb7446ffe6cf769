"""Many small arrays as one, so that one transfer brings them all to the host."""

import dataclasses
import math
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
    return Packed(numbers, (form, tuple((leaf.shape, np.dtype(leaf.dtype)) for leaf in leaves)))


def unpacked(numbers: np.ndarray, form):
    """The pytree again, of numpy arrays, with the axes before the last in front of each."""
    tree, kinds = form
    leaves, place = [], 0
    for shape, dtype in kinds:
        after = place + math.prod(shape)
        leaves.append(numbers[..., place:after].reshape(numbers.shape[:-1] + shape).astype(dtype, copy=False))
        place = after
    return jax.tree.unflatten(tree, leaves)
