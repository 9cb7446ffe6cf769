"""Random numbers drawn the fast way."""

import math

import jax
import jax.numpy as jnp


def normals(key, shape: tuple[int, ...], dtype):
    """Standard normals, those of `jax.random.normal(key, shape, dtype)` up to rounding.

    Drawn flat and shaped behind a barrier: the counters of a flat array cost a CPU a quarter of those of an array of many
    dimensions.
    """
    return jax.lax.optimization_barrier(jax.random.normal(key, (math.prod(shape),), dtype)).reshape(shape)


def spread_uniforms(key, n: int, dtype):
    """`n` uniforms, one in each of n equal strata, in random order: each by itself is uniform, and below 1."""
    first, second = jax.random.split(key)
    strata = jax.random.permutation(first, n).astype(dtype)
    inside = (strata + jax.random.uniform(second, (n,), dtype)) / n
    return jnp.minimum(inside, 1 - jnp.finfo(dtype).epsneg)
