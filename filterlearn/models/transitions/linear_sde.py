"""The exact transition of a linear SDE."""

from typing import Any

import jax.numpy as jnp

from filterlearn.models.base import AbstractLinearTransition, arrays, value_at
from filterlearn.numerics.discretise import van_loan
from filterlearn.numerics.small import semidefinite_factor


class LinearSDE(AbstractLinearTransition):
    """dx = (A x + b) dt + G dW, exact over any gap (Van Loan 1978, doi:10.1109/TAC.1978.1101743).

    `drift_matrix` A `(n, n)`, `diffusion` G `(n, m)` or its diagonal `(n,)`, `offset` b `(n,)`; each may be a function of
    (t, u), taken at the start of the gap and held over it.
    """

    drift_matrix: Any
    diffusion: Any
    offset: Any

    def __init__(self, drift_matrix, diffusion, offset=None):
        self.drift_matrix, self.diffusion, self.offset = map(arrays, (drift_matrix, diffusion, offset))

    @property
    def substeps(self) -> int:
        """One: the law is exact."""
        return 1

    def discretise(self, t0, t1, u=None):
        """(exp(A h), offset, covariance)."""
        a = jnp.asarray(value_at(self.drift_matrix, t0, u))
        g = value_at(self.diffusion, t0, u)
        g = jnp.diag(g) if g.ndim == 1 else g
        b = value_at(self.offset, t0, u)
        return van_loan(a, g @ g.T, jnp.zeros(a.shape[0], a.dtype) if b is None else b, t1 - t0)

    def moments(self, x, t0, t1, u=None):
        """Mean and factor of the exact law."""
        matrix, offset, covariance = self.discretise(t0, t1, u)
        return matrix @ x + offset, semidefinite_factor(covariance)

    def noise_shape(self, x, u=None):
        """One normal for each state."""
        return x.shape

    def push(self, x, t0, t1, u, noise):
        """A draw of the exact law."""
        mean, factor = self.moments(x, t0, t1, u)
        return mean + factor @ noise
