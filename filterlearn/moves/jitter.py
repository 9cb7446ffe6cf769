"""Noise added to parameter particles."""

from typing import Any

import jax

from filterlearn.moves.base import AbstractShift


class Jitter(AbstractShift):
    """Adds scale x prior sd x N(0, I): keeps static parameters alive at the price of a bias of that order (Crisan & Miguez
    2018, doi:10.3150/17-BEJ954)."""

    scale: Any = 0.05

    def shifted(self, thetas, log_weights, index, prior_sd, *, key):
        """The ancestors plus noise."""
        return thetas[index] + self.scale * prior_sd * jax.random.normal(key, thetas.shape, thetas.dtype)
