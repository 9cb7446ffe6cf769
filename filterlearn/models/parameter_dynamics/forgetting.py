"""A parameter about which old data count less and less."""

from typing import Any

import jax.numpy as jnp

from filterlearn.models.parameter_dynamics.base import AbstractDynamics


class Forgetting(AbstractDynamics):
    """Belief -> posterior^lambda x prior^(1 - lambda), lambda = exp(-gap / memory), on the unconstrained scale, time in data
    units (Kulhavy & Zarrop 1993, doi:10.1080/00207179308923034).

    Precisions mix, P'^-1 = lambda P^-1 + (1 - lambda) P0^-1, so a direction that the data do not excite returns to the
    prior's sd instead of growing without bound, and a variance below the prior's stays below it. The prior is the family's
    Gaussian on the unconstrained scale (pilot median and sd). Parameters that do not forget keep their law, and the state
    keeps its law given the parameters. Exact for Gaussian beliefs. Members take the affine map to the new mean and
    covariance, and so do particles, which draw the share 1 - lambda of their deviations afresh: a Gaussian approximation.
    Between parameters of different memories the cross precision falls by sqrt(lambda_i lambda_j), which leaves the slower
    one somewhat too sure.
    """

    memory: Any

    def moments(self, theta, gap, prior):
        """theta, 0: the parameter itself does not move."""
        return theta, jnp.zeros_like(theta)

    def kept(self, gap):
        """exp(-gap / memory)."""
        return jnp.exp(-gap / self.memory)
