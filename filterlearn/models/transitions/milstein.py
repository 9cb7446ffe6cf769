"""The Milstein scheme for diagonal noise."""

import equinox as eqx
import jax
import jax.numpy as jnp

from filterlearn.clock import whole
from filterlearn.models.sde import SDE
from filterlearn.models.transitions.base import AbstractStepping
from filterlearn.numerics.small import safe_sqrt


class Milstein(AbstractStepping):
    """Euler-Maruyama plus g_i dg_i/dx_i h (z_i^2 - 1) / 2: strong order 1, for a diffusion given as its diagonal `(n,)`
    whose entry i depends on x_i alone (Milstein 1975, doi:10.1137/1119062). Any other shape is refused."""

    sde: SDE
    substeps: int = eqx.field(static=True)

    def __init__(self, sde, *, steps):
        self.sde, self.substeps = sde, whole("steps", steps, 1)

    @property
    def gaussian(self) -> bool:
        """With additive noise: else squares of normals enter."""
        return super().gaussian and not callable(self.sde.diffusion)

    def drifted(self, x, t, h, u):
        """x + f h."""
        return x + self.sde.drift(t, x, u) * h

    def diffuse(self, x, t, h, u, z):
        """x + f h + g sqrt(h) z + g g' h (z^2 - 1) / 2."""
        value, slope = jax.jvp(lambda y: self.sde.diffusion_at(t, y, u), (x,), (jnp.ones_like(x),))
        if value.ndim != 1:
            raise ValueError(f"diffusion: Milstein needs a diagonal of shape (n,), got {value.shape}; use EulerMaruyama")
        correction = 0.5 * value * slope * h * (z**2 - 1)
        return self.drifted(x, t, h, u) + safe_sqrt(h) * value * z + correction
