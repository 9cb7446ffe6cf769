"""What a learnable diffusion is."""

import abc

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


class AbstractDiffusion(eqx.Module):
    """The diffusion of an SDE with learnable leaves, for `SDE(drift, diffusion)`; g g' is positive definite at every
    state."""

    @abc.abstractmethod
    def __call__(self, t, x: Float[Array, "n"], u) -> Float[Array, "n *m"]:
        """g at a time, a state and inputs (None where there are none): `(n, m)`, or `(n,)` for a diagonal, per square root
        of the data's time."""


def positive(values, scale, floor):
    """floor + (scale - floor) softplus(values) / log 2: at least the floor, and the scale where the values are 0."""
    return floor + (scale - floor) * jax.nn.softplus(values) / jnp.log(2.0).astype(values.dtype)
