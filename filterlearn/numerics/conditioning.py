"""Standard normals drawn given a linear Gaussian datum."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from filterlearn.numerics.small import cholesky, lower_solve, product, upper_solve


def drawn_given(
    error: Float[Array, "m"], slope: Float[Array, "m k"], noise: Float[Array, "m m"], white: Float[Array, "k"]
) -> tuple[Float[Array, "k"], Float[Array, ""]]:
    """(z, log N(z; 0, I) - log q(z)) for a draw of q, the law of z ~ N(0, I) given error = B z + N(0, R), made of standard
    normals `white`: with C C' = I + B' R^-1 B, z = (C C')^-1 B' R^-1 error + C^-T white."""
    root = cholesky(noise)
    scaled, heard = lower_solve(root, slope), lower_solve(root, error[:, None])
    factor = cholesky(jnp.eye(white.shape[0], dtype=white.dtype) + product(scaled.T, scaled))
    z = upper_solve(factor, lower_solve(factor, product(scaled.T, heard)) + white[:, None])[:, 0]
    return z, 0.5 * (white @ white - z @ z) - jnp.sum(jnp.log(jnp.diagonal(factor)))
