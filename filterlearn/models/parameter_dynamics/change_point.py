"""A parameter that changes at once, and rarely."""

from typing import Any

import jax.numpy as jnp
from jax.scipy.stats import norm

from filterlearn.models.parameter_dynamics.base import AbstractDynamics
from filterlearn.numerics.small import as_matrix, semidefinite_factor, spread


class ChangePoint(AbstractDynamics):
    """With probability h = 1 - exp(-rate gap) theta is drawn anew from the prior, else it stays, or follows `motion`
    (Chernoff & Zacks 1964, doi:10.1214/aoms/1177700517); `rate` is per unit of time. The prior is the family's Gaussian on
    the unconstrained scale; parameters that move together change together.

    Particles draw it exactly, but few are near the new place: give them thousands, or a `Monitored` learner. Filters by
    moments take its mean (1 - h) m + h m0 and, around a point, its variance

        (1 - h) V + h S^2 + h (1 - h) (m - m0) (m - m0)',

    m and V those of the motion: a Gaussian approximation, which lets go a little at every gap instead of all at once.
    """

    rate: Any
    motion: AbstractDynamics | None = None

    def __check_init__(self):
        motion = self.motion
        if motion is not None and not (isinstance(motion, AbstractDynamics) and motion.gaussian):
            raise TypeError(f"motion: None, RandomWalk or OrnsteinUhlenbeck is needed, got {motion!r}")

    @property
    def chances(self) -> int:
        """One: whether it changes."""
        return 1

    def _followed(self, theta, gap, prior):
        """(probability of no change, mean and factor of the motion)."""
        law = (theta, jnp.zeros_like(theta)) if self.motion is None else self.motion.moments(theta, gap, prior)
        return jnp.exp(-self.rate * gap), *law

    def moments(self, theta, gap, prior):
        """Those of the mixture."""
        stays, mean, noise = self._followed(theta, gap, prior)
        apart, factor = mean - prior.centre, as_matrix(noise)
        changed = jnp.diag(prior.sd**2) + stays * jnp.outer(apart, apart)
        return prior.centre + stays * apart, semidefinite_factor(stays * factor @ factor.T + (1 - stays) * changed)

    def moved(self, theta, gap, prior, noise):
        """A draw from the mixture."""
        stays, mean, factor = self._followed(theta, gap, prior)
        fresh = prior.centre + prior.sd * noise[:-1]
        return jnp.where(norm.cdf(noise[-1]) < stays, mean + spread(factor, noise[:-1]), fresh)
