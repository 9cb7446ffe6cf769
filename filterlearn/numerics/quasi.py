"""Randomised quasi-Monte Carlo points."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from scipy.stats import qmc

_BITS = 32


@functools.cache
def sobol(n: int, dimension: int) -> np.ndarray:
    """The first n points of Sobol's sequence, `(n, dimension)` numerators over 2^32 (direction numbers of Joe & Kuo 2008,
    doi:10.1137/070709359)."""
    points = qmc.Sobol(dimension, scramble=False, bits=_BITS).random_base2(max(n - 1, 0).bit_length())[:n]
    return (points * 2.0**_BITS).astype(np.uint32)


def quasi_uniforms(key, n: int, dimension: int, dtype) -> Float[Array, "n d"]:
    """Sobol's points scrambled by random lower triangular matrices of digits and a random digital shift (Matousek 1998,
    doi:10.1006/jcom.1998.0489): each by itself is uniform, all together they stay as even as they were. Never 0 or 1."""
    points = jnp.asarray(sobol(n, dimension))
    random = jax.random.bits(key, (_BITS + 1, dimension), jnp.uint32)

    def digit(bit, total):
        """What one digit of the points adds: itself, and random digits below it."""
        one = jnp.uint32(1) << bit.astype(jnp.uint32)
        column = one | (random[bit] & (one - 1))
        return total ^ jnp.where(points & one, column, jnp.uint32(0))

    shifted = jax.lax.fori_loop(0, _BITS, digit, jnp.broadcast_to(random[-1], points.shape))
    kept = min(jnp.finfo(dtype).nmant, _BITS)  # so that the middle of a cell is a number
    return ((shifted >> (_BITS - kept)).astype(dtype) + 0.5) * 2.0**-kept
