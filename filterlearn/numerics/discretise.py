"""The exact discretisation of a linear SDE over a gap (Van Loan 1978, doi:10.1109/TAC.1978.1101743)."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from filterlearn.numerics.small import symmetric


def van_loan(a: Float[Array, "n n"], q: Float[Array, "n n"], b: Float[Array, "n"], h):
    """exp(A h), the integral of exp(A s) b ds and of exp(A s) Q exp(A' s) ds, s from 0 to h.

    Two block exponentials of size 2 n and n + 1; equal times give (I, 0, 0) exactly.
    """
    n = a.shape[0]
    block = jnp.zeros((2 * n, 2 * n), a.dtype).at[:n, :n].set(-a).at[:n, n:].set(q).at[n:, n:].set(a.T)
    e = jax.scipy.linalg.expm(block * h)
    matrix = e[n:, n:].T
    covariance = symmetric(matrix @ e[:n, n:])
    drive = jnp.zeros((n + 1, n + 1), a.dtype).at[:n, :n].set(a).at[:n, n].set(b)
    offset = jax.scipy.linalg.expm(drive * h)[:n, n]
    return matrix, offset, covariance
