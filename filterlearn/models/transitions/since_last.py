"""Integrals since the last datum, beside the state that drives them."""

from typing import Any

import equinox as eqx
import jax.numpy as jnp

from filterlearn.models.base import arrays, timed
from filterlearn.models.sde import SDE
from filterlearn.models.transitions.base import AbstractStepping
from filterlearn.numerics.small import safe_sqrt, spread


class SinceLast(AbstractStepping):
    """Adds z to the state: dz = integrand(t, x, u) dt + noise(t, x, u) dW, with the SDE's own W, reset to 0 after each datum.

    The state becomes (x, z); observations read both: returns of a latent price, leverage, aggregates. At equal times z
    keeps the value that it had, so that a second sensor reads the same integral. `noise` gives `(k, m)` for the m Brownian
    motions of the SDE; `integrand` gives `(k,)`. With `counted` C `(k, kinds)`, z also grows by C N, with N the numbers of
    jumps of each kind of the SDE: a particle filter then knows the probability of a jump since the last datum. The
    cumulator of Harvey (1989, section 6.3, ISBN 9780521405737), for any SDE.
    """

    transition: AbstractStepping
    integrand: Any
    noise: Any
    size: int = eqx.field(static=True)
    counted: Any

    def __init__(self, transition, integrand, noise=None, *, size=1, counted=None):
        if not isinstance(transition, AbstractStepping):
            raise TypeError(f"transition: a stepping scheme is needed, got {type(transition).__name__}")
        self.transition, self.integrand, self.noise, self.size = transition, timed(integrand), timed(noise), size
        self.counted, needed = arrays(counted), (size, len(transition.sde.jumps))
        if counted is not None and self.counted.shape != needed:
            raise ValueError(f"counted: shape {needed}, (size, kinds of jump), is needed, got {self.counted.shape}")

    @property
    def sde(self) -> SDE:
        """The SDE inside; its jumps act on x."""
        return self.transition.sde

    @property
    def substeps(self) -> int:
        """Those of the scheme inside."""
        return self.transition.substeps

    @property
    def gaussian(self) -> bool:
        """No: z is reset between data, which one substep does not know."""
        return False

    def drifted(self, x, t, h, u):
        """Both drifts."""
        y, z = x[: -self.size], x[-self.size :]
        return jnp.concatenate([self.transition.drifted(y, t, h, u), z + self.integrand(t, y, u) * h])

    def diffuse(self, x, t, h, u, z):
        """Both moved by the same normals."""
        y = x[: -self.size]
        total = x[-self.size :] + self.integrand(t, y, u) * h
        if self.noise is not None:
            total = total + safe_sqrt(h) * spread(self.noise(t, y, u), z[: self.brownian(x, u)])
        return jnp.concatenate([self.transition.diffuse(y, t, h, u, z), total])

    def with_steps(self, steps):
        """The scheme inside with another number of substeps."""
        inside = self.transition.with_steps(steps)
        return SinceLast(inside, self.integrand, self.noise, size=self.size, counted=self.counted)

    @property
    def unroll(self) -> int:
        """That of the scheme inside."""
        return self.transition.unroll

    def width(self, x, u):
        """That of the scheme inside."""
        return self.transition.width(x[: -self.size], u)

    def core(self, x):
        """That of the scheme inside."""
        return self.transition.core(x[: -self.size])

    def jumped(self, x, change, counts):
        """x by its jumps, z by their number."""
        z = x[-self.size :]
        z = z if self.counted is None else z + spread(jnp.asarray(self.counted, x.dtype), counts)
        return jnp.concatenate([self.transition.jumped(x[: -self.size], change, counts), z])

    def push(self, x, t0, t1, u, noise):
        """Resets z where time moves on, then steps."""
        kept = jnp.arange(x.shape[0]) < x.shape[0] - self.size
        return super().push(jnp.where(kept | (t1 <= t0), x, 0.0), t0, t1, u, noise)

    def rates(self, x, t, u):
        """Refused: z is reset between data, so Gaussian filters cannot take one substep alone."""
        return self.moments(x, t, t, u)

    def moments(self, x, t0, t1, u=None):
        """Refused: z is reset between data, so Gaussian filters cannot take one substep alone."""
        raise TypeError("transition: SinceLast has no substep moments; use EnsembleKalman or ParticleFilter")
