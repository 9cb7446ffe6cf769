"""A drift that holds a diffusion together."""

from typing import Any

import jax
import jax.numpy as jnp

from filterlearn.models.convex import projected
from filterlearn.models.drifts.base import AbstractDrift
from filterlearn.models.sde import SDE


class StochasticLyapunovDrift(AbstractDrift):
    """f = h - grad V relu(LV + rate V - b) / |grad V|^2 with LV = grad V . h + tr(g' V'' g) / 2, the generator under h: the
    nearest to h = drift(t, x, u) - drift(t, c, u) with LV <= -rate V + b (Khasminskii 2012, doi:10.1007/978-3-642-23280-0;
    for steps in discrete time Lawrence, Loewen, Forbes, Backstrom & Gopaluni 2020, arXiv:2103.14722).

    `sde` is the nominal one, without jumps, whose diffusion g is kept: `SDE(drift, sde.diffusion)`. b = (1 + slack) tr(g' V''
    g) / 2 at the centre c, so that next to it the projection rests. E V(x_t) <= exp(-rate t) V(x_0) + b / rate: paths stay
    together in mean square for ever; where g is 0 at c, b is 0 and they go there. Raises ValueError for jumps.
    """

    sde: SDE
    function: Any
    rate: Any = 0.1
    slack: Any = 1.0

    def __check_init__(self):
        if self.sde.jumps:
            raise ValueError(f"sde: one without jumps is needed, got {len(self.sde.jumps)}; add them to the stable one")

    def spreading(self, t, x, u):
        """tr(g' V'' g) / 2."""
        g = self.sde.noise_matrix(t, x, u)
        return 0.5 * jnp.sum(g * (jax.hessian(self.function)(x) @ g))

    def bound(self, t, u):
        """b."""
        return (1.0 + self.slack) * self.spreading(t, self.function.centre, u)

    def __call__(self, t, x, u):
        rates = self.sde.drift(t, x, u) - self.sde.drift(t, self.function.centre, u)
        level, slope = jax.value_and_grad(self.function)(x)
        growth = slope @ rates + self.spreading(t, x, u)
        return projected(rates, slope, growth + self.rate * level - self.bound(t, u))
