"""The scaled unscented transform."""

from typing import Any

import jax.numpy as jnp
import numpy as np

from filterlearn.quadratures.base import AbstractQuadrature


class Unscented(AbstractQuadrature):
    """The centre and +- sqrt(n + lambda) along each axis, lambda = alpha^2 (n + kappa) - n: exact for polynomials of degree 3
    (Julier & Uhlmann 2004, doi:10.1109/JPROC.2003.823141; Wan & van der Merwe 2000, doi:10.1109/ASSPCC.2000.882463).

    `beta` adds 1 - alpha^2 + beta to the centre's weight in covariances (2 for a Gaussian). The centre's weights are negative
    when alpha^2 (n + kappa) < n, and then a covariance may be lost, which is flagged. Small alpha loses digits in float32.
    """

    alpha: Any = 1.0
    beta: Any = 0.0
    kappa: Any = 1.0

    def points(self, n, dtype):
        """0 and +- sqrt(n + lambda) e_i."""
        alpha, beta, kappa = (jnp.asarray(part, dtype) for part in (self.alpha, self.beta, self.kappa))
        reach = alpha**2 * (n + kappa)  # n + lambda
        axes = jnp.asarray(np.concatenate([np.zeros((1, n)), np.eye(n), -np.eye(n)]), dtype)
        outer = jnp.broadcast_to(0.5 / reach, (2 * n,))
        centre = 1.0 - n / reach
        means = jnp.concatenate([centre[None], outer])
        return jnp.sqrt(reach) * axes, means, means.at[0].add(1.0 - alpha**2 + beta)
