"""What the fixed-step schemes share: substeps by `lax.scan`, noise in one array, jumps after the diffusion."""

import abc

import equinox as eqx
import jax
import jax.numpy as jnp

from filterlearn.models.base import AbstractGaussianTransition
from filterlearn.models.sde import SDE, draw_jumps, jump_moments
from filterlearn.numerics.small import safe_sqrt

_UNROLL = 4  # substeps in one turn of the loop: twice as fast as one, and still quick to compile


def checked_steps(steps) -> int:
    """The number of substeps in a gap, at least one."""
    if not isinstance(steps, int) or steps < 1:
        raise ValueError(f"steps: a whole number of at least 1 is needed, got {steps!r}")
    return steps


class AbstractStepping(AbstractGaussianTransition):
    """A scheme that takes `substeps` equal substeps of an SDE in each gap."""

    sde: eqx.AbstractVar[SDE]

    @abc.abstractmethod
    def diffuse(self, x, t, h, u, z):
        """One substep of the drift and diffusion, with standard normals z."""

    @abc.abstractmethod
    def drifted(self, x, t, h, u):
        """The mean of one substep without jumps."""

    def refined(self):
        """The same scheme with twice the substeps."""
        return type(self)(self.sde, steps=2 * self.substeps)  # ty: ignore[invalid-argument-type, unknown-argument]

    def brownian(self, x, u):
        """The number of Brownian motions."""
        zero = jnp.zeros((), x.dtype)
        return jax.eval_shape(lambda y: self.sde.noise_matrix(zero, y, u), x).shape[1]

    def noise_shape(self, x, u=None):
        """(substeps, Brownian motions + (n + 1) for each kind of jump)."""
        return (self.substeps, self.brownian(x, u) + len(self.sde.jumps) * (x.shape[0] + 1))

    def jump(self, x, t, h, u, noise):
        """The jumps of one substep."""
        rows = noise.reshape(len(self.sde.jumps), x.shape[0] + 1)
        return draw_jumps(self.sde.jumps, x, t, h, u, rows)

    def push(self, x, t0, t1, u, noise):
        """x(t1), substep by substep."""
        h = (t1 - t0) / self.substeps
        m = self.brownian(x, u)

        def one(carry, z):
            y, t = carry
            new = self.diffuse(y, t, h, u, z[:m])
            if self.sde.jumps:
                new = new + self.jump(y, t, h, u, z[m:])
            return (new, t + h), None

        return jax.lax.scan(one, (x, jnp.asarray(t0, x.dtype)), noise, unroll=min(self.substeps, _UNROLL))[0][0]

    def moments(self, x, t0, t1, u=None):
        """Mean, and the factor of the covariance with the diffusion at the start of the substep."""
        h = t1 - t0
        extra, columns = jump_moments(self.sde.jumps, x, t0, h, u)
        factor = safe_sqrt(h) * self.sde.noise_matrix(t0, x, u)
        return self.drifted(x, t0, h, u) + extra, jnp.concatenate([factor, *columns], axis=1)
