"""Checkpoints: atomic, versioned, never pickled."""

import io
import json
import os
import struct
import zipfile
import zlib
from pathlib import Path

import equinox as eqx
import jax
import numpy as np

FORMAT = 4
_DAMAGE = (zipfile.BadZipFile, zlib.error, struct.error, ValueError, EOFError, LookupError, TypeError, AttributeError)
_DAMAGE += (RuntimeError, OverflowError, MemoryError)  # "encrypted", and sizes out of this world


def _named(tree):
    leaves = jax.tree_util.tree_flatten_with_path(eqx.filter(tree, eqx.is_array))[0]
    return {jax.tree_util.keystr(path): leaf for path, leaf in leaves}


def before_rename(path) -> None:
    """Called when the temporary file is on the disk and not yet renamed; a test of crashes puts its own in this place."""


def older(path, age: int) -> Path:
    """Where the checkpoint before, the one before that, ... of a path is kept."""
    return Path(path).with_name(f"{Path(path).name}.{age}")


def _step_back(path, keep: int) -> None:
    """Makes the checkpoint there the youngest of `keep - 1` older ones, by a second name, so that `path` is never without."""
    if keep < 2 or not path.exists():
        return
    for age in range(keep - 1, 1, -1):
        if older(path, age - 1).exists():
            os.replace(older(path, age - 1), older(path, age))
    older(path, 1).unlink(missing_ok=True)
    os.link(path, older(path, 1))


def save(path, tree, meta: dict, keep: int = 1) -> None:
    """Writes the arrays of a pytree and a JSON header to a temporary file beside `path`, syncs it, then renames it over
    `path`: at every moment `path` is a whole checkpoint, the old or the new one. Of `keep` in all, the older ones are at
    `path.1`, `path.2`, and so on.

    Raises TypeError naming `meta` for what JSON does not hold.
    """
    path = Path(path).resolve()
    try:
        text = json.dumps({**meta, "format": FORMAT}, allow_nan=False).encode()
    except (TypeError, ValueError) as error:
        raise TypeError(f"meta: numbers, text, lists and dicts of them are needed, {error}") from error
    arrays = {f"leaf{name}": np.asarray(leaf) for name, leaf in _named(tree).items()}
    temporary = path.with_name(f".{path.name}.partial")
    with open(temporary, "wb") as file:
        np.savez(file, allow_pickle=False, header=np.frombuffer(text, np.uint8), **arrays)
        file.flush()
        os.fsync(file.fileno())
    before_rename(path)
    _step_back(path, keep)
    os.replace(temporary, path)
    directory = os.open(path.parent, os.O_RDONLY)
    os.fsync(directory)
    os.close(directory)


def _read(path) -> tuple[dict, dict[str, np.ndarray]]:
    """(header, arrays by name), or an error in one line when the file is not a whole checkpoint of this version."""
    if not Path(path).is_file():
        raise FileNotFoundError(f"path: no checkpoint at {path}")
    content = io.BytesIO(Path(path).read_bytes())
    try:
        with np.load(content, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        meta = json.loads(bytes(arrays.pop("header")))
        version = meta["format"]
    except _DAMAGE as error:
        raise ValueError(
            f"path: {path} is not a checkpoint of filterlearn, or is damaged; delete it to start anew"
        ) from error
    if version != FORMAT:
        raise ValueError(f"path: {path} is a checkpoint of format {version}, this version reads {FORMAT}; start anew")
    return meta, {name.removeprefix("leaf"): array for name, array in arrays.items()}


def header(path) -> dict:
    """The JSON header of a checkpoint. Raises FileNotFoundError, or ValueError naming a file that is not a whole one."""
    return _read(path)[0]


def load(path, like):
    """(tree, header): the arrays into the structure of `like`.

    Raises ValueError naming the file when it is damaged, and the leaf that does not match when the model is another one.
    """
    meta, stored = _read(path)
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
