"""The derivative along parameters of what a step makes of a belief that depends on them."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree


def pushed(function, theta, belief, tangent):
    """`function(theta, belief)` returns (what is differentiated, the rest): that, its derivative along theta, the rest.

    The derivative of each floating leaf has a row for each entry of theta before it, and so has `tangent`, by which the
    belief moves. One forward pass for each entry of theta, or, where these are fewer, one reverse pass for each number that
    comes out: the same to rounding.
    """
    smooth, fixed = eqx.partition(belief, eqx.is_inexact_array)

    def along(theta, smooth):
        told, rest = function(theta, eqx.combine(smooth, fixed))
        moving, still = eqx.partition(told, eqx.is_inexact_array)
        return moving, (still, rest)

    moving, slope, (still, rest) = jax.linearize(along, theta, smooth, has_aux=True)
    if sum(leaf.size for leaf in jax.tree.leaves(moving)) < theta.size:
        rows = _backward(slope, moving, theta, smooth, tangent)
    else:
        rows = jax.vmap(slope)(jnp.eye(theta.size, dtype=theta.dtype), tangent)
    return eqx.combine(moving, still), rows, rest


def _backward(slope, moving, theta, smooth, tangent):
    """The rows from a transposed pass for each number of `moving`."""
    flat, whole = ravel_pytree(moving)
    back = jax.linear_transpose(slope, theta, smooth)
    direct, through = jax.vmap(lambda unit: back(whole(unit)))(jnp.eye(flat.size, dtype=flat.dtype))
    pairs = zip(jax.tree.leaves(tangent), jax.tree.leaves(through), strict=True)
    shares = [change.reshape(theta.size, -1) @ weight.reshape(flat.size, -1).T for change, weight in pairs]
    return jax.vmap(whole)(sum(shares, direct.T))
