"""The Euler-Maruyama scheme."""

import equinox as eqx

from filterlearn.clock import whole
from filterlearn.models.sde import SDE
from filterlearn.models.transitions.base import AbstractStepping
from filterlearn.numerics.small import safe_sqrt


class EulerMaruyama(AbstractStepping):
    """x + f h + g sqrt(h) z, `steps` times in each gap: strong order 1/2, weak order 1 (Maruyama 1955,
    doi:10.1007/BF02846028)."""

    sde: SDE
    substeps: int = eqx.field(static=True)

    def __init__(self, sde, *, steps):
        self.sde, self.substeps = sde, whole("steps", steps, 1)

    def drifted(self, x, t, h, u):
        """x + f h."""
        return x + self.sde.drift(t, x, u) * h

    def diffuse(self, x, t, h, u, z):
        """x + f h + g sqrt(h) z."""
        return self.drifted(x, t, h, u) + safe_sqrt(h) * self.sde.diffuse(t, x, u, z)
