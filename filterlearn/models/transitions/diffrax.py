"""One substep by a solver of diffrax."""

from typing import Any

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import lineax

from filterlearn.clock import whole
from filterlearn.models.sde import SDE
from filterlearn.models.transitions.base import AbstractStepping
from filterlearn.numerics.small import safe_sqrt

_SDE_SOLVERS = (diffrax.AbstractItoSolver, diffrax.AbstractStratonovichSolver)
_NUMBER = float | int | jax.Array


def _fixed(solver, diffusion):
    """The solver, ready for fixed steps and both modes of differentiation; refused where it cannot serve an Ito SDE."""
    name = type(solver).__name__
    if not isinstance(solver, diffrax.AbstractSolver):
        raise TypeError(f"solver: a diffrax solver is needed, got {name}")
    if isinstance(solver, diffrax.AbstractWrappedSolver):
        raise TypeError(f"solver: {name} halves the step, but the noise is that of a whole one; give the solver inside")
    if isinstance(solver, diffrax.LeapfrogMidpoint | diffrax.ReversibleHeun):
        raise TypeError(f"solver: {name} needs the step before, and each substep starts anew; use diffrax.Heun()")
    if isinstance(solver, _SDE_SOLVERS):
        _check_noise(solver, name, diffusion)
    else:
        _check_noiseless(solver, name, diffusion)
    if getattr(solver, "scan_kind", "lax") is None:  # diffrax's own choice has no forward mode
        kind = "lax" if isinstance(solver, diffrax.AbstractSRK) else "bounded"
        solver = eqx.tree_at(lambda s: s.scan_kind, solver, kind, is_leaf=lambda leaf: leaf is None)
    return solver


def _check_noise(solver, name, diffusion):
    if isinstance(solver, diffrax.AbstractFosterLangevinSRK):
        raise TypeError(f"solver: {name} takes Langevin terms only; use diffrax.ShARK()")
    if getattr(solver, "minimal_levy_area", None) is diffrax.AbstractSpaceTimeTimeLevyArea:
        raise TypeError(f"solver: {name} needs the space-time-time Levy area, which is not drawn; use diffrax.ShARK()")
    if callable(diffusion) and isinstance(solver, diffrax.AbstractStratonovichSolver):
        raise TypeError(
            f"solver: {name} is in the sense of Stratonovich and the diffusion is a function, but the SDE is in that of Ito; "
            "use diffrax.Euler() or diffrax.ItoMilstein(), or give additive noise as an array"
        )


def _check_noiseless(solver, name, diffusion):
    if callable(diffusion) or diffusion.shape[1:] != (0,):
        raise TypeError(
            f"solver: {name} is for equations without noise, and the diffusion is not of shape (n, 0); "
            "use diffrax.Euler(), or diffrax.ShARK() with additive noise"
        )
    if solver.term_structure is not diffrax.AbstractTerm:
        raise TypeError(f"solver: {name} splits the drift in two, and an SDE has one; use diffrax.Kvaerno5")
    if isinstance(solver, diffrax.AbstractImplicitSolver) and not isinstance(solver.root_finder.rtol, _NUMBER):
        raise TypeError(
            f"solver: {name} at a fixed step needs tolerances; "
            f"give diffrax.{name}(root_finder=optimistix.Newton(rtol=1e-8, atol=1e-8))"
        )


class _Increment(diffrax.AbstractBrownianPath):
    """The Brownian increment of one whole substep, and its space-time Levy area where a solver asks for one."""

    known: Any
    levy_area: Any = eqx.field(static=True)

    t0 = 0.0
    t1 = jnp.inf

    def __init__(self, h, rows):
        """The area of the bridge over h is N(0, h / 12), independent of the increment."""
        self.levy_area = diffrax.SpaceTimeLevyArea if len(rows) == 2 else diffrax.BrownianIncrement
        self.known = self.levy_area(h, *(safe_sqrt(h / v) * row for v, row in zip((1, 12), rows, strict=False)))

    def evaluate(self, t0, t1=None, left=None, use_levy=None):
        """The increment, whatever the interval: a solver asks for the whole substep."""
        return self.known if use_levy else self.known.W


class Diffrax(AbstractStepping):
    """`steps` substeps of equal length by a solver of diffrax in each gap (Kidger 2022, arXiv:2202.02435).

    The calculus is Ito's: `diffrax.Euler()` (strong order 1/2) and `diffrax.ItoMilstein()` (strong order 1 where the noise
    commutes, 1/2 otherwise, and a cost of m^2) take any diffusion; the Stratonovich solvers take additive noise, given as an
    array, where the two calculi agree: `Heun`, `Midpoint`, `Ralston` of strong order 1, `SEA` of 1, `ShARK` and `SRA1` of
    1.5 (2 where the drift is linear), these three from the space-time Levy area as well, N(0, h / 12) (Foster, dos Reis &
    Strange 2023, arXiv:2210.17543). Solvers of ordinary equations need a diffusion of shape (n, 0), and implicit ones a root
    finder with tolerances: `optimistix.Newton(rtol=1e-8, atol=1e-8)` (`diffrax.VeryChord` gives up after two iterations).
    Whatever does not converge to the Ito solution is refused with TypeError. Weak order at least 1; of ordinary equations the
    solver's own order.

    Each substep starts the solver anew, so that a jump between two of them is never smoothed over; a root finder that does
    not converge makes the state NaN. Differentiable in both modes, save through such a failure, where lineax raises.
    `moments` are those of the substep, linearised in its normals where the noise is additive (exact when the drift is
    linear); a diffusion that is a function enters at the start of the substep, as for `EulerMaruyama`.

    >>> import diffrax, filterlearn as fl, jax.numpy as jnp
    >>> fl.Diffrax(fl.SDE(lambda t, x, u: -(x**3), jnp.ones(1)), diffrax.ShARK(), steps=4).substeps
    4
    """

    sde: SDE
    solver: Any
    substeps: int = eqx.field(static=True)

    def __init__(self, sde, solver, *, steps):
        self.sde, self.solver, self.substeps = sde, _fixed(solver, sde.diffusion), whole("steps", steps, 1)

    @property
    def gaussian(self) -> bool:
        """By Euler's solver: others evaluate the drift at points moved by the noise."""
        return super().gaussian and isinstance(self.solver, diffrax.Euler)

    def with_steps(self, steps):
        """The same solver with another number of substeps."""
        return Diffrax(self.sde, self.solver, steps=steps)

    def width(self, x, u):
        """A normal for each Brownian motion, and one for its space-time Levy area where the solver needs that."""
        return self.brownian(x, u) * (2 if self._levy else 1)

    @property
    def _levy(self):
        return getattr(self.solver, "minimal_levy_area", None) is diffrax.AbstractSpaceTimeLevyArea

    def _terms(self, t, h, u, z):
        """Drift and diffusion in the time since t, so that a late t in float32 costs the increments nothing."""
        drift = diffrax.ODETerm(lambda s, y, args: self.sde.drift(t + s, y, u))
        if not isinstance(self.solver, _SDE_SOLVERS):
            return drift

        def diffusion(s, y, args):
            g = self.sde.diffusion_at(t + s, y, u)
            return lineax.DiagonalLinearOperator(g) if g.ndim == 1 else g

        return diffrax.MultiTerm(drift, diffrax.ControlTerm(diffusion, _Increment(h, z.reshape(2 if self._levy else 1, -1))))

    def diffuse(self, x, t, h, u, z):
        """One step of the solver, its increments made of z; NaN where it fails."""
        terms, start = self._terms(t, h, u, z), jnp.zeros((), x.dtype)
        state = self.solver.init(terms, start, h, x, None)
        y, _, _, _, result = self.solver.step(terms, start, h, x, None, state, made_jump=False)
        return jnp.where(result == diffrax.RESULTS.successful, y, jnp.nan)

    def drifted(self, x, t, h, u):
        """The step without noise where it is additive; x + f h, the mean of both Ito solvers, otherwise."""
        if callable(self.sde.diffusion):
            return x + self.sde.drift(t, x, u) * h
        return self.diffuse(x, t, h, u, jnp.zeros(self.width(x, u), x.dtype))

    def law(self, x, t, h, u):
        """The step's mean, and its derivative by its normals where the noise is additive; else sqrt(h) g at the start."""
        if callable(self.sde.diffusion):
            return super().law(x, t, h, u)
        still = jnp.zeros(self.width(x, u), x.dtype)
        return self.drifted(x, t, h, u), jax.jacfwd(lambda z: self.diffuse(x, t, h, u, z))(still)
