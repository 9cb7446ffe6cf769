"""The stochastic analysis."""

import jax.numpy as jnp

from filterlearn.analyses.base import AbstractAnalysis, Taper, centred, solve
from filterlearn.numerics.sampling import normals
from filterlearn.numerics.small import cholesky, lower_solve, upper_solve


class Perturbed(AbstractAnalysis):
    """Each member assimilates the datum with its own perturbation e_i from N(0, R), re-centred: x_i + K (y + e_i - h(x_i))
    (Burgers, van Leeuwen & Evensen 1998, doi:10.1175/1520-0493(1998)126<1719:ASITEK>2.0.CO;2).

    The mean is that of the Kalman update with the sample moments; the covariance is so on average over the perturbations.
    With a `Taper`, both covariances of the gain are tapered with distance.
    """

    taper: Taper | None = None

    def revise(self, members, seen, *, key):
        """x_i + K (e + e_i - y_i)."""
        n = members.shape[0]
        anomalies = centred(members)[1]
        noise = normals(key, (n, seen.error.shape[0]), members.dtype)
        noise = noise - jnp.mean(noise, axis=0)
        errors = seen.error + noise - jnp.sqrt(n - 1.0) * seen.spread.T
        if self.taper is None:
            gained = jnp.linalg.multi_dot([solve(seen.spread, errors.T).T, seen.spread, anomalies])
            return members + gained / jnp.sqrt(n - 1.0)
        return members + errors @ _tapered_gain(self.taper, seen, anomalies).T


def _tapered_gain(taper, seen, anomalies):
    """(rho_xy o P H') (rho_yy o H P H' + R)^-1, for whitened errors."""
    cross, between = taper.weights(anomalies, seen)
    raw = seen.factor @ seen.spread
    factor = cholesky(between * (raw @ raw.T) + seen.factor @ seen.factor.T)
    covariance = cross * (anomalies.T @ raw.T) / jnp.sqrt(anomalies.shape[0] - 1.0)
    return upper_solve(factor, lower_solve(factor, covariance.T)).T @ seen.factor
