"""Linear equations by the trapezoidal rule."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp

from filterlearn.clock import whole
from filterlearn.models.base import AbstractLinearTransition, arrays, value_at
from filterlearn.models.transitions.base import AbstractOneStep
from filterlearn.numerics.small import applied, semidefinite_factor, symmetric


class Bilinear(AbstractOneStep, AbstractLinearTransition):
    """dx = (A x + b) dt + g dW in `steps` equal steps h: x' = (I - h A / 2)^-1 ((I + h A / 2) x + h b + g sqrt(h) z) (Tustin
    1947, doi:10.1049/ji-2a.1947.0020), as layers of sequence models are (Gu, Goel & Re 2022, arXiv:2111.00396).

    Of order 2 to `LinearSDE` where the offset is held, and stable where A is, for any step; linear and Gaussian, so that
    `Kalman` is exact for it. Each of `matrix` `(n, n)`, `diffusion` `(n, m)` or its diagonal `(n,)`, and `offset` `(n,)` may
    be a function of (t, u), read where a step begins.
    """

    matrix: Any
    diffusion: Any
    offset: Any
    steps: int = eqx.field(static=True)

    def __init__(self, matrix, diffusion, offset=None, *, steps):
        self.matrix, self.diffusion, self.offset = map(arrays, (matrix, diffusion, offset))
        self.steps = whole("steps", steps, 1)

    def discretise(self, t0, t1, u=None):
        """(A, b, Q) over the gap."""
        h = (t1 - t0) / self.steps

        def one(carry, k):
            a, b, q = carry
            step, moved, noise = self._step(t0 + k * h, h, u)
            return (step @ a, step @ b + moved, symmetric(step @ q @ step.T + noise)), None

        eye = jnp.eye(value_at(self.matrix, t0, u).shape[0], dtype=jnp.result_type(h))
        return jax.lax.scan(one, (eye, 0.0 * eye[0], 0.0 * eye), jnp.arange(self.steps, dtype=eye.dtype))[0]

    def _step(self, t, h, u):
        """(A, b, Q) of one step."""
        a, g, b = (value_at(part, t, u) for part in (self.matrix, self.diffusion, self.offset))
        step, back = trapezoid(a, h)
        noise = back @ (jnp.diag(g) if g.ndim == 1 else g)
        return step, jnp.zeros(a.shape[0], a.dtype) if b is None else h * back @ b, h * noise @ noise.T

    def moments(self, x, t0, t1, u=None):
        """Mean and factor."""
        a, b, q = self.discretise(t0, t1, u)
        return applied(a, x) + b, semidefinite_factor(q)


def trapezoid(matrix, h):
    """((I - h A / 2)^-1 (I + h A / 2), (I - h A / 2)^-1)."""
    eye = jnp.eye(matrix.shape[0], dtype=matrix.dtype)
    back = jnp.linalg.inv(eye - 0.5 * h * matrix)
    return back @ (eye + 0.5 * h * matrix), back
