"""The form of a model and an algorithm, by names, so that another one can be told by what differs."""

import dataclasses

import numpy as np

from filterlearn.numerics.leaves import is_array


def outline(name: str, part) -> dict[str, str]:
    """What stands at each place of a tree of modules, dicts, lists and tuples: the type, the shape of arrays, whole numbers
    and text as they are, functions by their name. Other numbers may change: they are not of the form."""
    if is_array(part):
        return {name: f"{part.dtype}{list(np.shape(part))}"}
    if dataclasses.is_dataclass(part) and not isinstance(part, type):
        inside = {f"{name}.{field.name}": getattr(part, field.name, None) for field in dataclasses.fields(part)}
    elif isinstance(part, dict):
        inside = {f"{name}[{key!r}]": each for key, each in part.items()}
    elif isinstance(part, list | tuple):
        inside = {f"{name}[{k}]": each for k, each in enumerate(part)}
    else:
        return {name: _word(part)}
    found = {name: type(part).__qualname__}
    for place, each in inside.items():
        found |= outline(place, each)
    return found


def _word(part) -> str:
    if part is None or isinstance(part, bool | int | str):
        return repr(part)
    return getattr(part, "__qualname__", type(part).__qualname__)
