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


def spaced_uniforms(key, n: int, dtype):
    """`n` uniforms of which any that follow each other fill [0, 1) evenly: U + k phi modulo 1, with one random U and phi the
    golden ratio (Weyl 1916, doi:10.1007/BF01475864). Each by itself is uniform."""
    steps = jnp.arange(n, dtype=jnp.uint32) * jnp.uint32(2654435769)  # 2^32 phi, in integers, which keep every digit
    shifted = jax.random.uniform(key, (), dtype) + (steps >> 8).astype(dtype) * 2.0**-24
    return shifted - jnp.floor(shifted)
