"""Random numbers drawn the fast way."""

import math

import jax


def normals(key, shape: tuple[int, ...], dtype):
    """Standard normals, those of `jax.random.normal(key, shape, dtype)` up to rounding.

    Drawn flat and shaped behind a barrier: the counters of a flat array cost a CPU a quarter of those of an array of many
    dimensions.
    """
    return jax.lax.optimization_barrier(jax.random.normal(key, (math.prod(shape),), dtype)).reshape(shape)
