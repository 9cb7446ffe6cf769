"""What a workload is made of."""

from typing import Any, NamedTuple


class Case(NamedTuple):
    """One row of the table: `given`, what a side takes; `ahead`, how many times the best peer's `by` ours must be (times
    faster for ms, times as many for what ends with "/s"); `most`, upper bounds on our own numbers."""

    given: dict
    ahead: float | None = None
    most: dict[str, float] = {}
    by: str = "ms"


class Missing(Exception):
    """A side has no such thing, and why."""


def jitted(function, *arguments) -> Any:
    """A run: compiled once, then called with the same arguments; its numbers are those of `function`."""
    import jax

    compiled = jax.jit(function)
    return lambda: jax.block_until_ready(compiled(*arguments))
