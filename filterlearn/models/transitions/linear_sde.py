"""The exact transition of a linear SDE."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax.scipy.special import ndtr
from numpyro.distributions import Distribution

from filterlearn.models.base import AbstractJumping, AbstractLinearTransition, arrays, value_at
from filterlearn.models.jumps import checked_jumps, jump_moments, kind_keys, poisson_count, split_noise, sum_first, with_keys
from filterlearn.models.transitions.base import AbstractOneStep
from filterlearn.numerics.discretise import linear_laws
from filterlearn.numerics.small import applied, semidefinite_factor


def _only(laws):
    """The law of the only gap."""
    return tuple(part[0] for part in laws)


def _one_after_another(matrix, offsets, covariances):
    """The law of all parts of a gap, of one matrix."""
    whole, offset, covariance = matrix, offsets[0], covariances[0]
    for more, spread in zip(offsets[1:], covariances[1:], strict=True):
        whole, offset, covariance = matrix @ whole, matrix @ offset + more, matrix @ covariance @ matrix.T + spread
    return whole, offset, covariance


class _OneGap(AbstractOneStep, AbstractLinearTransition):
    """A linear SDE over the one gap that it was discretised for; the identity at equal times."""

    matrix: Any
    offset: Any
    covariance: Any
    factor: Any

    def __init__(self, matrix, offset, covariance):
        self.matrix, self.offset, self.covariance = matrix, offset, covariance
        self.factor = semidefinite_factor(covariance)

    def discretise(self, t0, t1, u=None):
        """(A, b, Q) of the gap."""
        still = (jnp.eye(self.offset.shape[0], dtype=self.offset.dtype), 0.0, 0.0)
        known = (self.matrix, self.offset, self.covariance)
        return tuple(jnp.where(t1 > t0, a, b) for a, b in zip(known, still, strict=True))

    def moments(self, x, t0, t1, u=None):
        """Mean and factor."""
        matrix, offset, _ = self.discretise(t0, t1, u)
        return applied(matrix, x) + offset, jnp.where(t1 > t0, self.factor, 0.0)


class LinearSDE(AbstractOneStep, AbstractLinearTransition, AbstractJumping):
    """dx = (A x + b) dt + G dW + jumps, exact over any gap (Higham 2008, chapter 10, doi:10.1137/1.9780898717778).

    `drift_matrix` A `(n, n)`, `diffusion` G `(n, m)` or its diagonal `(n,)`, `offset` b `(n,)`; each may be a function of
    (t, u), taken at the start of the gap and held over it.

    Jumps have a constant intensity and mark law; a function is refused with TypeError. The moments are exact (offset
    b + intensity E[J], noise G G' + intensity E[J J']); so are the draws, jump times uniform given their number (at most
    `most` in a gap, see `CompoundPoisson`; a bound is not needed). The law is then not Gaussian: `ExtendedKalman` matches
    its moments, `Kalman` refuses it.
    """

    drift_matrix: Any
    diffusion: Any
    offset: Any
    jumps: tuple

    def __init__(self, drift_matrix, diffusion, offset=None, jumps=()):
        self.drift_matrix, self.diffusion, self.offset = map(arrays, (drift_matrix, diffusion, offset))
        self.jumps = checked_jumps(jumps)
        for jump in self.jumps:
            if callable(jump.intensity) or not isinstance(jump.mark, Distribution):
                raise TypeError("jumps: LinearSDE needs a constant intensity and mark law, got a function; use EulerMaruyama")

    @property
    def gaussian(self) -> bool:
        """Whether there are no jumps."""
        return not self.jumps

    @property
    def kinds(self) -> tuple:
        """The kinds of jumps."""
        return self.jumps

    def without_jumps(self):
        """The linear SDE between jumps."""
        return LinearSDE(self.drift_matrix, self.diffusion, self.offset)

    def given_jumps(self, counts, t0, t1, u=None):
        """The moments of the law given the numbers, jump times independent and uniform in each part: N jumps J add
        N E[exp(A s) J] and N cov(exp(A s) J), s uniform over it. Exactly the law where A = 0 and marks are Normal."""
        a, b, q = self._coefficients(t0, u)
        part = jnp.reshape(t1 - t0, 1) / len(counts)
        per = 1 / jnp.where(part > 0, part, 1.0)
        matrix, offset, covariance = _only(linear_laws(a, b, q, part))
        offsets, covariances = jnp.broadcast_to(offset, (len(counts), *offset.shape)), covariance
        for numbers, jump in zip(counts.T[..., None] * per, self.jumps, strict=True):
            _, mean, factor = jump.moments(t0, b, u)
            _, reach, second = _only(linear_laws(a, mean, jnp.outer(mean, mean) + factor @ factor.T, part))
            offsets = offsets + numbers * reach
            covariances = covariances + numbers[..., None] * (second - jnp.outer(reach, reach) * per)
        return _OneGap(*_one_after_another(matrix, offsets, covariances))

    def given_times(self, counts, passed, t0, t1, u=None):
        """The law given numbers and times, each mark carried by exp(A s) over what is left: exact for Normal marks."""
        a, b, q = self._coefficients(t0, u)
        matrix, offset, covariance = _only(linear_laws(a, b, q, jnp.reshape(t1 - t0, 1)))
        for count, row, jump in zip(counts, passed, self.jumps, strict=True):
            _, mean, factor = jump.moments(t0, b, u)
            carried = linear_laws(a, jnp.zeros_like(b), jnp.zeros_like(q), (1 - row) * (t1 - t0))[0]
            columns = jnp.einsum("sij,jk->sik", carried, factor)
            offset = offset + sum_first(count, carried @ mean)
            covariance = covariance + jnp.sum(
                jnp.where((jnp.arange(len(row)) < count)[:, None, None], columns @ columns.mT, 0.0), axis=0
            )
        return _OneGap(matrix, offset, covariance)

    def _coefficients(self, t, u):
        a = jnp.asarray(value_at(self.drift_matrix, t, u))
        g = value_at(self.diffusion, t, u)
        g = jnp.diag(g) if g.ndim == 1 else g
        b = value_at(self.offset, t, u)
        return a, jnp.zeros(a.shape[0], a.dtype) if b is None else b, g @ g.T

    def _laws(self, t, u, gaps):
        """(exp(A h), offset, covariance) of each gap h, the jumps in them by their mean and covariance."""
        a, b, q = self._coefficients(t, u)
        drive, factor = jump_moments(self.jumps, jnp.zeros_like(b), t, jnp.ones((), b.dtype), u)
        return linear_laws(a, b + drive, q + sum(c @ c.T for c in factor), jnp.asarray(gaps, a.dtype))

    def discretise(self, t0, t1, u=None):
        """(exp(A h), offset, covariance), the jumps in them by their mean and covariance."""
        return _only(self._laws(t0, u, jnp.reshape(t1 - t0, 1)))

    def over(self, gaps):
        """The exact law of each gap, all in one batch; None with jumps, or when an array is a function of time or inputs."""
        if self.jumps or any(map(callable, (self.drift_matrix, self.diffusion, self.offset))):
            return None
        return jax.vmap(_OneGap)(*self._laws(jnp.zeros_like(gaps[0]), None, gaps))

    def moments(self, x, t0, t1, u=None):
        """Mean and factor of the exact law."""
        matrix, offset, covariance = self.discretise(t0, t1, u)
        return applied(matrix, x) + offset, semidefinite_factor(covariance)

    def noise_shape(self, x, u=None):
        """One normal for each state; for each kind of jump one for the count and 1 + n for each of the `most` jumps."""
        n = x.shape[0]
        return (n + sum(1 + jump.most * (1 + n) for jump in self.jumps),)

    def draw_noise(self, n, x, u=None, *, key):
        """The normals; with a key for each member where marks are neither Normal nor Delta."""
        return with_keys(partial(super().draw_noise, n, x, u), n, self.jumps, x, u, key)

    def push(self, x, t0, t1, u, noise):
        """A draw of the exact law."""
        normals, key = split_noise(noise)
        n, (a, b, q) = x.shape[0], self._coefficients(t0, u)
        matrix, offset, covariance = _only(linear_laws(a, b, q, jnp.reshape(t1 - t0, 1)))
        moved = applied(matrix, x) + offset + applied(semidefinite_factor(covariance), normals[:n])
        rest = normals[n:]
        for jump, own in zip(self.jumps, kind_keys(key, self.jumps), strict=True):
            row, rest = rest[: 1 + jump.most * (1 + n)], rest[1 + jump.most * (1 + n) :]
            moved = moved + self._carried(jump, a, t0, t1 - t0, x, u, row, own)
        return moved

    def _carried(self, jump, a, t0, h, x, u, row, key):
        """The jumps of one kind at t1, each carried by exp(A s) over the time s that was left."""
        count = poisson_count(jump.rate(t0, x, u) * h, ndtr(row[0]), jump.most)
        marks = jump.marks(jump.most, t0, x, u, row[1 + jump.most :].reshape(jump.most, -1), key)
        left = h * ndtr(row[1 : 1 + jump.most])
        return sum_first(count, jax.vmap(lambda s, mark: jax.scipy.linalg.expm(a * s) @ mark)(left, marks))
