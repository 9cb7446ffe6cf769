"""Points sorted along a Hilbert curve."""

import jax
import jax.numpy as jnp
from jax.scipy.special import ndtr
from jaxtyping import Array, Float, Int, UInt

from filterlearn.numerics.small import safe_sqrt

_BITS = 32


def hilbert_index(cells: UInt[Array, "N d"], bits: int) -> UInt[Array, "N"]:
    """The place on the Hilbert curve of cells with `bits` binary digits in each of d coordinates, d bits at most 32 (Skilling
    2004, doi:10.1063/1.1751381): neighbours on the curve are neighbours in space."""
    one = jnp.uint32(1)

    def turned(k, axes):
        """The axes with what the digit next to the last turned is undone, from the highest digit on."""
        here = one << jnp.uint32(bits - 1 - k)
        below, axes = here - one, list(axes)
        for i in range(len(axes)):
            set_, swap = (axes[i] & here) > 0, (axes[0] ^ axes[i]) & below
            axes[0] = axes[0] ^ jnp.where(set_, below, swap)
            axes[i] = axes[i] ^ jnp.where(set_, jnp.uint32(0), swap) if i else axes[0]
        return tuple(axes)

    axes = jax.lax.fori_loop(0, bits - 1, turned, tuple(cells.T))
    axes = jax.lax.associative_scan(jnp.bitwise_xor, jnp.stack(axes))

    def flipped(k, flips):
        here = one << jnp.uint32(bits - 1 - k)
        return flips ^ jnp.where(axes[-1] & here, here - one, jnp.uint32(0))

    axes = axes ^ jax.lax.fori_loop(0, bits - 1, flipped, jnp.zeros_like(axes[0]))

    def placed(k, place):
        for axis in axes:
            place = (place << one) | ((axis >> jnp.uint32(bits - 1 - k)) & one)
        return place

    return jax.lax.fori_loop(0, bits, placed, jnp.zeros_like(axes[0]))


def hilbert_order(points: Float[Array, "N n"], weights: Float[Array, "N"]) -> Int[Array, "N"]:
    """What sorts points by their value, n = 1, or along the Hilbert curve of the unit cube onto which their weighted normal
    distribution functions map them, coordinate by coordinate; 32 / n bits each, of more than 32 coordinates the first 32."""
    finite = jnp.isfinite(points).all(axis=1)
    points = jnp.where(finite[:, None], points, 0.0)[:, :_BITS]
    if points.shape[1] == 1:
        return jnp.argsort(points[:, 0])
    share = jnp.where(finite, weights, 0.0)
    off = points - share @ points
    sd = safe_sqrt(share @ off**2)
    bits = _BITS // points.shape[1]
    below = ndtr(off / jnp.where(sd > 0, sd, 1.0))
    cells = jnp.minimum(below * 2.0**bits, 2.0**bits - 1).astype(jnp.uint32)
    return jnp.argsort(hilbert_index(cells, bits))
