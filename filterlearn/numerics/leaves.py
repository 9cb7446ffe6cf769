"""Named array leaves of a pytree: taken out, and put back."""

from collections.abc import Callable

import equinox as eqx
import jax
import numpy as np


def is_array(leaf) -> bool:
    """A jax or numpy array."""
    return isinstance(leaf, jax.Array | np.ndarray)


def divided(tree) -> tuple[list, tuple]:
    """(the array leaves, None for the others; the rest, which hashes where its leaves do)."""
    leaves, form = jax.tree.flatten(tree)
    return [leaf if is_array(leaf) else None for leaf in leaves], (
        form,
        tuple(None if is_array(each) else each for each in leaves),
    )


def joined(arrays: list, rest: tuple):
    """The tree that was divided."""
    form, others = rest
    return jax.tree.unflatten(form, [other if leaf is None else leaf for leaf, other in zip(arrays, others, strict=True)])


def _name(path) -> str:
    return jax.tree_util.keystr(path).lstrip(".")


def selected(tree, where: Callable) -> dict:
    """The floating array leaves inside `where(tree)`, by their path in the tree, such as `layers[0].weight`."""
    pairs, form = jax.tree_util.tree_flatten_with_path(tree)
    inside = set(jax.tree.leaves(where(jax.tree.unflatten(form, range(len(pairs))))))
    return {_name(path): leaf for k, (path, leaf) in enumerate(pairs) if k in inside and eqx.is_inexact_array(leaf)}


def replaced(tree, values: dict):
    """The tree with the leaves of those names replaced."""
    return jax.tree_util.tree_map_with_path(lambda path, leaf: values.get(_name(path), leaf), tree)
