"""A linear SDE whose matrix is a mixture that the state chooses."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from filterlearn.models.base import arrays, value_at
from filterlearn.models.transitions.base import AbstractOneStep
from filterlearn.numerics.discretise import linear_laws
from filterlearn.numerics.small import applied, semidefinite_factor


class MixedLinear(AbstractOneStep):
    """dx = A x dt + G dW with A = sum_k w_k A_k, the weights w of the state at the start of the gap and held over it: the
    locally linear SDE of continuous recurrent units (Schirmer et al. 2022, arXiv:2111.11344).

    `matrices` A_k `(K, n, n)`; `mixture(x)` gives w `(K,)`, such as a softmax of a network; `diffusion` G `(n, m)` or its
    diagonal `(n,)`, or a function of (t, u) taken at the start of the gap. Exact for any gap where w is constant. Derivatives
    by the state take w as given, so that `ExtendedKalman` is the exact filter of the linear equation that the mean chooses;
    those by the weights of `mixture` leave out the way through its argument. Raises ValueError for matrices of another shape,
    TypeError for no function.
    """

    matrices: Any
    mixture: Callable
    diffusion: Any

    def __init__(self, matrices, mixture, diffusion):
        self.matrices, self.mixture, self.diffusion = arrays(matrices), mixture, arrays(diffusion)
        shape = self.matrices.shape
        if len(shape) != 3 or shape[1] != shape[2]:
            raise ValueError(f"matrices: shape (K, n, n) is needed, got {shape}")
        if not callable(mixture):
            raise TypeError(f"mixture: a function of the state is needed, got {type(mixture).__name__}")

    def matrix(self, x):
        """A at a state."""
        return jnp.einsum("k,kij->ij", self.mixture(jax.lax.stop_gradient(x)), self.matrices)

    def moments(self, x, t0, t1, u=None):
        """exp(A h) x, and a factor of the noise's covariance."""
        g = value_at(self.diffusion, t0, u)
        g = jnp.diag(g) if g.ndim == 1 else g
        a, h = self.matrix(x), jnp.reshape(t1 - t0, 1)
        matrix, _, covariance = linear_laws(a, jnp.zeros_like(x), g @ g.T, h)
        return applied(matrix[0], x), semidefinite_factor(covariance[0])
