"""Weights that fall to zero with distance."""

import jax.numpy as jnp

HALF_WIDTH = 1.82  # of the taper, per unit of localisation radius: the taper is then near exp(-d^2 / (2 radius^2))


def gaspari_cohn(distance, radius):
    """The fifth-order taper of half-width c = 1.82 radius: 1 at 0, 0 from 2 c on, positive definite in up to three dimensions
    (Gaspari & Cohn 1999, equation 4.10, doi:10.1002/qj.49712555417)."""
    r = jnp.abs(distance) / (HALF_WIDTH * radius)
    near = jnp.minimum(r, 1.0)
    inner = 1.0 + near**2 * (-5.0 / 3.0 + near * (5.0 / 8.0 + near * (0.5 - 0.25 * near)))
    far = jnp.clip(r, 1.0, 2.0)
    outer = 4.0 - 5.0 * far + far**2 * (5.0 / 3.0 + far * (5.0 / 8.0 + far * (-0.5 + far / 12.0))) - 2.0 / (3.0 * far)
    return jnp.where(r <= 1.0, inner, jnp.maximum(outer, 0.0) * (r < 2.0))
