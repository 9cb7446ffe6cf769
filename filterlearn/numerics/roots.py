"""The inverse square root of a positive definite matrix, with a derivative that repeated eigenvalues do not break."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


@jax.custom_jvp
def inverse_root(a: Float[Array, "n n"]) -> Float[Array, "n n"]:
    """A^-1/2, symmetric.

    The derivative is taken by divided differences of x^-1/2 in the eigenbasis (Daleckii & Krein 1965; Higham 2008,
    theorem 3.11, ISBN 9780898716467): -1 / (sqrt(x y) (sqrt x + sqrt y)), finite where x = y.
    """
    values, vectors = jnp.linalg.eigh(a)
    return (vectors / jnp.sqrt(values)) @ vectors.T


@inverse_root.defjvp
def _derivative(primals, tangents):
    (a,), (da,) = primals, tangents
    values, vectors = jnp.linalg.eigh(a)
    root = jnp.sqrt(values)
    differences = -1.0 / (root[:, None] * root[None, :] * (root[:, None] + root[None, :]))
    inner = differences * (vectors.T @ (0.5 * (da + da.T)) @ vectors)
    return (vectors / root) @ vectors.T, vectors @ inner @ vectors.T
