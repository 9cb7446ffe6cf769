"""Fourth-order Runge-Kutta for the drift, with additive noise."""

import equinox as eqx

from filterlearn.clock import whole
from filterlearn.models.sde import SDE
from filterlearn.models.transitions.base import AbstractStepping
from filterlearn.numerics.small import safe_sqrt


class RungeKutta(AbstractStepping):
    """The classical fourth-order step of the drift plus g sqrt(h) z after it: order 4 when there is no noise, strong and weak
    order 1 otherwise (Kloeden & Platen 1992, doi:10.1007/978-3-662-12616-5). The noise must be additive: give the diffusion
    as an array; a function of the state is refused."""

    sde: SDE
    substeps: int = eqx.field(static=True)

    def __init__(self, sde, *, steps):
        if callable(sde.diffusion):
            raise TypeError("diffusion: RungeKutta needs additive noise, a constant array; use EulerMaruyama or Milstein")
        self.sde, self.substeps = sde, whole("steps", steps, 1)

    @property
    def unroll(self) -> int:
        """One: a step holds four evaluations, and several compiled as one take three times as long in a reverse pass."""
        return 1

    def drifted(self, x, t, h, u):
        """One Runge-Kutta step of the drift."""
        f = self.sde.drift
        a = f(t, x, u)
        b = f(t + h / 2, x + h / 2 * a, u)
        c = f(t + h / 2, x + h / 2 * b, u)
        d = f(t + h, x + h * c, u)
        return x + h / 6 * (a + 2 * b + 2 * c + d)

    def diffuse(self, x, t, h, u, z):
        """The Runge-Kutta step plus g sqrt(h) z."""
        return self.drifted(x, t, h, u) + safe_sqrt(h) * self.sde.diffuse(t, x, u, z)
