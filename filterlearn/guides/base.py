"""What a guide offers: the form of the laws that are fitted to each step."""

import abc
from typing import Any, NamedTuple

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from filterlearn.numerics.small import semidefinite_factor


class Kernel(NamedTuple):
    """A fitted backward kernel: e | z ~ N(slope z + offset + bend(z), C C'), C of `raw`."""

    slope: Float[Array, "n n"]
    offset: Float[Array, "n"]
    raw: Float[Array, "n n"]
    bend: Any


def raw_of(factor: Float[Array, "n n"]) -> Float[Array, "n n"]:
    """A lower factor with the logarithm of its diagonal, which any numbers may be."""
    pivots = jnp.maximum(jnp.diagonal(factor), jnp.sqrt(jnp.finfo(factor.dtype).eps))
    return jnp.tril(factor, -1) + jnp.diag(jnp.log(pivots))


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

    def mean(self, kernel: Kernel, z: Float[Array, "n"]) -> Float[Array, "n"]:
        """Of e given z."""
        return self.restricted(kernel.slope) @ z + kernel.offset + self.bend(kernel.bend, z)

    def lower(self, raw: Float[Array, "n n"]) -> Float[Array, "n n"]:
        """The lower factor that `raw` stands for."""
        return self.restricted(jnp.tril(raw, -1) + jnp.diag(jnp.exp(jnp.diagonal(raw))))

    def factor(self, covariance: Float[Array, "n n"]) -> Float[Array, "n n"]:
        """A lower factor of the covariance, as far as the form has it."""
        return semidefinite_factor(self.restricted(covariance))
