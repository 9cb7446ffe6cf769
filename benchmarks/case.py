"""What a workload is made of."""

import itertools
import time
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


def sampled(fit, series) -> Any:
    """A run of `fit(*series(seed), key)` -> {name: draws}; each has a seed of its own, and tells the least effective draws a
    second and the means."""
    import jax
    import numpy as np
    from numpyro.diagnostics import effective_sample_size

    seeds = itertools.count()

    def run():
        seed, begin = next(seeds), time.perf_counter()
        draws = jax.tree.map(np.asarray, fit(*series(seed), jax.random.key(seed)))
        took = time.perf_counter() - begin
        least = min(float(effective_sample_size(each.reshape(1, -1))) for each in draws.values())
        return {"ESS/s": least / took} | {name: float(each.mean()) for name, each in draws.items()}

    return run
