"""Standard normals drawn given a linear Gaussian datum."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from filterlearn.numerics.small import cholesky, lower_solve, product, upper_solve


def drawn_given(
    error: Float[Array, "m"], slope: Float[Array, "m k"], noise: Float[Array, "m m"], white: Float[Array, "k"]
) -> tuple[Float[Array, "k"], Float[Array, ""]]:
    """(z, log N(z; 0, I) - log q(z)) for a draw of q, the law of z ~ N(0, I) given error = B z + N(0, R), made of standard
    normals `white`, in whichever of the two spaces is the smaller: with R = I, C C' = I + B' B and L L' = I + B B',

        z = (C C')^-1 B' error + C^-T white    or    B' (L L')^-1 error + (I - B' L^-T (L + I)^-1 B) white

    (the second root as in Andrews 1968, AIAA Journal 6, 1165)."""
    root = cholesky(noise)
    b, heard = lower_solve(root, slope), lower_solve(root, error[:, None])
    given = _by_datum if b.shape[0] < b.shape[1] else _by_state
    z, spread = given(b, heard, white[:, None])
    return z, 0.5 * (white @ white - z @ z) - jnp.sum(jnp.log(spread))


def _by_state(b, heard, white):
    factor = cholesky(jnp.eye(b.shape[1], dtype=b.dtype) + product(b.T, b))
    z = upper_solve(factor, lower_solve(factor, product(b.T, heard)) + white)[:, 0]
    return z, jnp.diagonal(factor)


def _by_datum(b, heard, white):
    one = jnp.eye(b.shape[0], dtype=b.dtype)
    factor = cholesky(one + product(b, b.T))
    seen = lower_solve(factor, heard) - lower_solve(factor + one, product(b, white))
    return (white + product(b.T, upper_solve(factor, seen)))[:, 0], jnp.diagonal(factor)
