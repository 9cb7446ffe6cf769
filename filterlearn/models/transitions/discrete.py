"""Discrete-time transitions: one step for each strictly later time."""

from typing import Any

import jax.numpy as jnp

from filterlearn.models.base import AbstractLinearTransition, arrays, timed, value_at
from filterlearn.models.transitions.base import AbstractOneStep
from filterlearn.numerics.small import applied, semidefinite_factor


class LinearDiscrete(AbstractOneStep, AbstractLinearTransition):
    """x' = A x + b + N(0, Q), once for each strictly later time (Kalman 1960, doi:10.1115/1.3662552). Each array may be a
    function of (t, u), at the new time.

    Noise w of the state that is correlated with the noise v of the observation, y = H x + v, is put into the state: (x, v)
    moves by [[A, 0], [0, 0]] with the noise [[Q, S], [S', R]] of (w, v), S = cov(w, v), and is seen exactly, by [H, I] with
    covariance 0. Where v moves the *next* step instead, S = cov(w_k+1, v_k) goes into [[A, S R^-1], [0, 0]] and leaves
    the noise [[Q - S R^-1 S', 0], [0, R]]. Both are exact.
    """

    matrix: Any
    noise: Any
    offset: Any

    def __init__(self, matrix, covariance, offset=None):
        self.matrix, self.noise, self.offset = map(arrays, (matrix, covariance, offset))

    def discretise(self, t0, t1, u=None):
        """(A, b, Q), or (I, 0, 0) at equal times."""
        a, q, b = (value_at(part, t1, u) for part in (self.matrix, self.noise, self.offset))
        n = a.shape[0]
        later = t1 > t0
        b = jnp.zeros(n, a.dtype) if b is None else b
        return jnp.where(later, a, jnp.eye(n, dtype=a.dtype)), jnp.where(later, b, 0.0), jnp.where(later, q, 0.0)

    def moments(self, x, t0, t1, u=None):
        """Mean and factor."""
        a, b, q = self.discretise(t0, t1, u)
        return applied(a, x) + b, semidefinite_factor(q)


class Discrete(AbstractOneStep):
    """x' ~ N(mean(t, x, u), covariance), once for each strictly later time t; the covariance is an array or a function of
    (t, x, u) (Jazwinski 1970, section 3.9, ISBN 9780486462745)."""

    mean: Any
    covariance: Any

    def __init__(self, mean, covariance):
        if not callable(mean):
            raise TypeError(f"mean: a function (t, x, u) is needed, got {type(mean).__name__}")
        self.mean, self.covariance = timed(mean), arrays(covariance)

    def moments(self, x, t0, t1, u=None):
        """Mean and factor, or (x, 0) at equal times."""
        q = self.covariance(t1, x, u) if callable(self.covariance) else self.covariance
        later = t1 > t0
        return jnp.where(later, self.mean(t1, x, u), x), semidefinite_factor(jnp.where(later, q, 0.0))
