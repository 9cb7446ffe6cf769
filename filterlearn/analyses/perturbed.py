"""The stochastic analysis."""

import jax.numpy as jnp

from filterlearn.analyses.base import AbstractAnalysis, centred, solve
from filterlearn.numerics.sampling import normals


class Perturbed(AbstractAnalysis):
    """Each member assimilates the datum with its own perturbation e_i from N(0, R), re-centred: x_i + K (y + e_i - h(x_i))
    (Burgers, van Leeuwen & Evensen 1998, doi:10.1175/1520-0493(1998)126<1719:ASITEK>2.0.CO;2).

    The mean is that of the Kalman update with the sample moments; the covariance is so on average over the perturbations.
    """

    def revise(self, members, seen, *, key):
        """x_i + K (e + e_i - y_i)."""
        n = members.shape[0]
        anomalies = centred(members)[1]
        noise = normals(key, (n, seen.error.shape[0]), members.dtype)
        noise = noise - jnp.mean(noise, axis=0)
        errors = seen.error + noise - jnp.sqrt(n - 1.0) * seen.spread.T
        return members + (solve(seen.spread, errors.T).T @ seen.spread) @ anomalies / jnp.sqrt(n - 1.0)
