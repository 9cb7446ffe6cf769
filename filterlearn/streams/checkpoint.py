"""Checkpoints: atomic, versioned, never pickled."""

import json
import os
import tempfile
from pathlib import Path

import equinox as eqx
import jax
import numpy as np

FORMAT = 1


def _named(tree):
    leaves = jax.tree_util.tree_flatten_with_path(eqx.filter(tree, eqx.is_array))[0]
    return {jax.tree_util.keystr(path): leaf for path, leaf in leaves}


def save(path, tree, meta: dict) -> None:
    """Writes the arrays of a pytree and a JSON header to a temporary file, syncs it, then renames it over `path`."""
    path = Path(path)
    arrays = {f"leaf{name}": np.asarray(leaf) for name, leaf in _named(tree).items()}
    text = np.frombuffer(json.dumps({**meta, "format": FORMAT}).encode(), np.uint8)
    handle, temporary = tempfile.mkstemp(dir=path.resolve().parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            np.savez(file, allow_pickle=False, header=text, **arrays)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    directory = os.open(path.resolve().parent, os.O_RDONLY)
    os.fsync(directory)
    os.close(directory)


def header(path) -> dict:
    """The JSON header of a checkpoint."""
    with np.load(path, allow_pickle=False) as file:
        return json.loads(bytes(file["header"]))


def load(path, like):
    """(tree, header): the arrays into the structure of `like`. Raises ValueError naming the leaf that does not match."""
    meta = header(path)
    if meta["format"] != FORMAT:
        raise ValueError(f"path: checkpoint format {meta['format']} was given, this version reads {FORMAT}")
    with np.load(path, allow_pickle=False) as file:
        stored = {name.removeprefix("leaf"): file[name] for name in file.files if name != "header"}
    wanted = _named(like)
    if odd := sorted(set(wanted) ^ set(stored)):
        raise ValueError(f"path: leaf {odd[0]} is not in both the checkpoint and this model; was the model changed?")
    for name, leaf in wanted.items():
        if leaf.shape != stored[name].shape or leaf.dtype != stored[name].dtype:
            old, new = stored[name], leaf
            raise ValueError(f"path: leaf {name} is {old.dtype}{old.shape} there, this model needs {new.dtype}{new.shape}")
    arrays, rest = eqx.partition(like, eqx.is_array)
    filled = jax.tree_util.tree_map_with_path(lambda p, _: jax.numpy.asarray(stored[jax.tree_util.keystr(p)]), arrays)
    return eqx.combine(filled, rest), meta
