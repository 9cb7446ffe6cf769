"""What a guide offers: the form of the laws that are fitted to each step."""

import abc

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float


class AbstractGuide(eqx.Module):
    """The form of q(x_t) = N(m, L L') and of the backward kernel, which with e = L_t-1^-1 (x_t-1 - m_t-1) and z the same of
    x_t as it was predicted is e | z ~ N(B z + b + bend(z), C C')."""

    @abc.abstractmethod
    def restricted(self, matrix: Float[Array, "n n"]) -> Float[Array, "n n"]:
        """The nearest of the matrices that L, B and C may be."""

    def start(self, n: int, dtype, *, key):
        """The parameters of `bend` before any datum; they go on from step to step."""
        return ()

    def bend(self, parameters, z: Float[Array, "n"]) -> Float[Array, "n"]:
        """What the kernel's mean has beside an affine function."""
        return jnp.zeros_like(z)
