"""Newton's method uphill."""

import jax
import jax.numpy as jnp

_LENGTHS = 8


def ascended(value, x, steps: int):
    """x after `steps` Newton steps on `value`, each along |H|^-1 g, H the Hessian, as far as the best of 1, 1/2, 1/4, ... of
    it; where none is better x stays, so that the value never falls."""

    def one(_, x):
        bend, slope = jax.jacfwd(lambda x: 2 * (jax.jacfwd(value)(x),), has_aux=True)(x)
        sizes, axes = jnp.linalg.eigh(jnp.where(jnp.isfinite(bend), bend, 0.0))
        sizes = jnp.abs(sizes)
        floor = jnp.finfo(x.dtype).eps * x.shape[0] * jnp.max(sizes) + jnp.finfo(x.dtype).tiny
        whole = axes @ ((axes.T @ slope) / jnp.maximum(sizes, floor))
        lengths = jnp.append(0.5 ** jnp.arange(_LENGTHS, dtype=x.dtype), 0.0)
        tried = x + lengths[:, None] * jnp.where(jnp.isfinite(whole), whole, 0.0)
        found = jax.vmap(value)(tried)
        return tried[jnp.argmax(jnp.where(jnp.isfinite(found), found, -jnp.inf))]

    return jax.lax.fori_loop(0, steps, one, x)
