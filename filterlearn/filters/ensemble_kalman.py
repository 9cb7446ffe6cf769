"""The ensemble Kalman filter."""

import abc
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp

from filterlearn.beliefs.ensemble import Ensemble
from filterlearn.filters.base import gaussian_info
from filterlearn.models.base import AbstractGaussianObservation, starting_sample
from filterlearn.numerics.masking import filled, observed
from filterlearn.numerics.sampling import normals
from filterlearn.numerics.small import lower_solve, semidefinite_factor, symmetric, upper_solve
from filterlearn.protocol import COLLAPSED, AbstractAlgorithm, needed, origin_of, strong


class AbstractAnalysis(eqx.Module):
    """How the members are revised by a datum."""

    @abc.abstractmethod
    def revise(self, members, predictions, innovation, mask, r, factor, *, key):
        """New members from members `(N, n)`, their predictions `(N, m)` of the datum, the innovation of the mean `(m,)`, the
        mask of observed entries, R and the Cholesky factor of the masked innovation covariance."""


class Perturbed(AbstractAnalysis):
    """Each member assimilates the datum with its own perturbation from N(0, R), re-centred (Burgers, van Leeuwen & Evensen
    1998, doi:10.1175/1520-0493(1998)126<1719:ASITEK>2.0.CO;2). Consistent as N grows; unbiased covariance."""

    def revise(self, members, predictions, innovation, mask, r, factor, *, key):
        """x_i + K (y + e_i - y_i)."""
        n = members.shape[0]
        noise = normals(key, predictions.shape, members.dtype) @ semidefinite_factor(r).T
        noise = noise - jnp.mean(noise, axis=0)
        deviations = predictions - jnp.mean(predictions, axis=0)
        seen = jnp.where(mask, deviations, 0.0)
        gain = upper_solve(factor, lower_solve(factor, seen.T @ (members - jnp.mean(members, axis=0)) / (n - 1))).T
        return members + jnp.where(mask, innovation + noise - deviations, 0.0) @ gain.T


class EnsembleKalman(AbstractAlgorithm):
    """A Gaussian filter whose moments come from `size` members (Evensen 1994, doi:10.1029/94JC00572).

    Any transition, Gaussian observations. `inflation` multiplies the anomalies after each analysis. The evidence is
    N(y; mean, S) with the sample moments: consistent for linear-Gaussian models as N grows, biased at finite N.
    """

    size: int = eqx.field(static=True)
    analysis: AbstractAnalysis = Perturbed()
    inflation: Any = 1.0

    def __check_init__(self):
        if not isinstance(self.size, int) or self.size < 2:
            raise ValueError(f"size: a whole number of at least 2 is needed, got {self.size!r}")
        if not isinstance(self.analysis, AbstractAnalysis):
            raise TypeError(f"analysis: Perturbed() is needed, got {self.analysis!r}")

    def init(self, problem, *, key=None):
        """Members drawn from the initial law."""
        model = problem.resolve()
        if not isinstance(model.observation, AbstractGaussianObservation):
            name = type(model.observation).__name__
            raise TypeError(f"observation: EnsembleKalman needs a Gaussian one, got {name}; use ParticleFilter")
        return strong(Ensemble(*starting_sample(model.initial, self.size, needed(key))))

    def predict(self, problem, belief, time, inputs=None, *, key=None):
        """Each member moved by the transition."""
        start = origin_of(belief.time, time)
        members = problem.resolve().transition.sample_many(belief.members, start, time, inputs, key=needed(key))
        return Ensemble(members, time)

    def update(self, problem, belief, datum, *, key=None):
        """The analysis, then the inflation."""
        observation = problem.resolve().observation
        x = belief.members
        predictions = jax.vmap(lambda z: observation.moments(z, datum.time, datum.inputs)[0])(x)
        centre = jnp.mean(x, axis=0)
        r = observation.moments(centre, datum.time, datum.inputs)[1]
        mean = jnp.mean(predictions, axis=0)
        deviations = predictions - mean
        mask = observed(datum.value)
        error = jnp.where(mask, observation.innovation(filled(datum.value, mean), mean), 0.0)
        s = symmetric(deviations.T @ deviations / (self.size - 1) + r)
        spread = jnp.max(jnp.abs(x - centre))
        info, factor = gaussian_info(error, s, mask, mean, extra=COLLAPSED * (spread == 0))
        new = self.analysis.revise(x, predictions, error, mask, r, factor, key=needed(key))
        middle = jnp.mean(new, axis=0)
        new = middle + self.inflation * (new - middle)
        return Ensemble(jnp.where(mask.any(), new, x), belief.time), info
