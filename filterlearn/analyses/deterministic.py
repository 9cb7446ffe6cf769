"""The deterministic ensemble Kalman filter."""

import jax.numpy as jnp

from filterlearn.analyses.base import AbstractAnalysis, solve, transformed


class Deterministic(AbstractAnalysis):
    """The mean moves by the gain K, the anomalies by half of it: A - K H A / 2 (Sakov & Oke 2008,
    doi:10.1111/j.1600-0870.2007.00299.x).

    The mean is exact for the sample moments; the covariance is too large by K H P H' K' / 4, an inflation of its own.
    """

    def revise(self, members, seen, *, key):
        """Mean and anomalies, without random numbers."""
        n = members.shape[0]
        both = solve(seen.spread, jnp.concatenate([seen.spread, seen.error[:, None]], axis=1))
        mixed = seen.spread.T @ both
        transform = jnp.eye(n, dtype=members.dtype) - 0.5 * mixed[:, :-1]
        return transformed(members, mixed[:, -1] / jnp.sqrt(n - 1.0), transform)
