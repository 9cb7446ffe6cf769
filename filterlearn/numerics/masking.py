"""NaN entries of an observation are missing: the atoms that leave them out."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float


def observed(value: Float[Array, "m"]) -> Bool[Array, "m"]:
    """True where an entry is present."""
    return ~jnp.isnan(value)


def filled(value: Float[Array, "m"], instead: Float[Array, "m"]) -> Float[Array, "m"]:
    """The observation with `instead` in its missing places."""
    return jnp.where(jnp.isnan(value), instead, value)


def masked_covariance(s: Float[Array, "m m"], mask: Bool[Array, "m"]) -> Float[Array, "m m"]:
    """Missing rows and columns replaced by those of the identity, so that they neither correct nor count."""
    both = mask[:, None] & mask[None, :]
    return jnp.where(both, s, jnp.eye(s.shape[0], dtype=s.dtype))


def choose(condition, new, old):
    """`new` where the condition holds, else `old`, leaf by leaf."""
    return jax.tree.map(lambda a, b: jnp.where(condition, a, b), new, old)
