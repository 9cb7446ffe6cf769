"""Steps that keep volumes in phase space."""

import equinox as eqx
import jax.numpy as jnp

from filterlearn.clock import whole
from filterlearn.inputs import input_at
from filterlearn.models.drifts.base import AbstractSeparable
from filterlearn.models.sde import SDE
from filterlearn.models.transitions.base import AbstractStepping
from filterlearn.numerics.small import safe_sqrt


class Symplectic(AbstractStepping):
    """Half a kick, a drift, half a kick: the Stormer-Verlet step (Hairer, Lubich & Wanner 2003,
    doi:10.1017/S0962492902000144) of a drift with `velocity` and `force`, such as `HamiltonianDrift`, with p times
    exp(-damping h / 2) before and after, and g sqrt(h) z after it.

    Without noise of order 2, reversible in time, and a canonical map (with damping, one times a constant): the energy does
    not drift away, but swings within O(h^2), where one of `RungeKutta` leaks. With noise strong and weak order 1. The noise
    must be additive, an array. Raises TypeError for another drift or noise, ValueError for jumps.
    """

    sde: SDE
    substeps: int = eqx.field(static=True)

    def __init__(self, sde, *, steps):
        if callable(sde.diffusion):
            raise TypeError("diffusion: Symplectic needs additive noise, a constant array; use EulerMaruyama or Milstein")
        if not isinstance(_parts(sde), AbstractSeparable):
            name = type(_parts(sde)).__name__
            raise TypeError(f"drift: one with a velocity and a force is needed, such as HamiltonianDrift, got {name}")
        if sde.jumps:
            raise ValueError("jumps: Symplectic takes none; use EulerMaruyama or RungeKutta")
        self.sde, self.substeps = sde, whole("steps", steps, 1)

    def drifted(self, x, t, h, u):
        """Damped, kicked, moved, kicked, damped."""
        drift = _parts(self.sde)
        q, p = jnp.split(x, 2)
        slowed = jnp.exp(-0.5 * h * drift.damping)
        p = slowed * p + 0.5 * h * drift.force(t, q, input_at(u, t))
        q = q + h * drift.velocity(p)
        p = slowed * (p + 0.5 * h * drift.force(t + h, q, input_at(u, t + h)))
        return jnp.concatenate([q, p])

    def diffuse(self, x, t, h, u, z):
        """The step plus g sqrt(h) z."""
        return self.drifted(x, t, h, u) + safe_sqrt(h) * self.sde.diffuse(t, x, u, z)


def _parts(sde):
    """The drift as it was given."""
    return sde.drift.function
