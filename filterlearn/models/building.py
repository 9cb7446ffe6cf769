"""How a family builds a model from the values of its parameters."""

from typing import Any

import equinox as eqx

from filterlearn.numerics.leaves import divided, joined, replaced


class _Build(eqx.Module):
    """A function of the values whose arrays are leaves and whose rest is static: a family with a network inside traces once,
    vmaps and differentiates."""

    arrays: list
    rest: tuple = eqx.field(static=True)

    def __init__(self, function):
        self.arrays, self.rest = divided(function)

    def __call__(self, values):
        return joined(self.arrays, self.rest)(values)


class _WithNetwork(eqx.Module):
    """values -> build(network with those weights, the other values)."""

    network: Any
    build: Any
    names: tuple[str, ...]

    def __call__(self, values):
        others = {name: value for name, value in values.items() if name not in self.names}
        return self.build(replaced(self.network, {name: values[name] for name in self.names}), others)


class _Held(eqx.Module):
    """values -> build(those values and the held ones)."""

    build: Any
    values: dict

    def __call__(self, values):
        return self.build({**values, **self.values})


class _Altered(eqx.Module):
    """values -> change(build(values))."""

    build: Any
    change: Any

    def __call__(self, values):
        return self.change(self.build(values))


def built(function):
    """A function of the values as a pytree."""
    return _Build(function)


def with_network(network, build, names: tuple[str, ...]):
    """Values to build(the network with the weights of those names, the other values)."""
    return _WithNetwork(network, build, names)


def holding(build, values: dict):
    """Values to build(those values and the held ones)."""
    return _Build(_Held(build, dict(values)))


def altering(build, change):
    """Values to change(build(values))."""
    return _Build(_Altered(build, change))
