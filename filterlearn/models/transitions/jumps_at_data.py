"""Jumps of the state where data were seen."""

from typing import Any

import equinox as eqx
import jax.numpy as jnp

from filterlearn.clock import whole
from filterlearn.models.base import AbstractTransition, timed


class JumpsAtData(AbstractTransition):
    """After each datum the state jumps, then the transition moves it: x -> (jump(t, x, u), 0), at the start of each gap.

    `jump(t, x, u)` reads the state but for its last `reset` entries, which start each gap from zero (integrals over the gap,
    such as that of an intensity), and returns it just after the datum at t; None leaves it. u is what came with the datum
    that ends the gap, so what the jump is to know of the datum before is given as an input: `event_data` and `fed_back` make
    such a series. Before the first datum they give zeros, which must not move the state.

    With an intensity this is the flow and the jumps of a neural jump SDE (Jia & Benson 2019, arXiv:1905.10403), or a Hawkes
    process; with a recurrent cell, GRU-ODE-Bayes (De Brouwer et al. 2019, arXiv:1905.12374). At equal times nothing jumps.
    Exact where the transition is. Raises TypeError for what is no transition or no function.
    """

    transition: AbstractTransition
    jump: Any = eqx.field(converter=timed)
    reset: int = eqx.field(static=True, default=0)

    def __check_init__(self):
        if not isinstance(self.transition, AbstractTransition):
            raise TypeError(f"transition: a transition is needed, got {type(self.transition).__name__}")
        if self.jump is not None and not callable(self.jump):
            raise TypeError(f"jump: a function (t, x, u) or None is needed, got {type(self.jump).__name__}")
        whole("reset", self.reset, 0)

    @property
    def substeps(self) -> int:
        """Those of the transition."""
        return self.transition.substeps  # ty: ignore[missing-attribute]

    def with_steps(self, steps):
        """The same with another number of substeps inside."""
        return JumpsAtData(self.transition.with_steps(steps), self.jump, self.reset)  # ty: ignore[missing-attribute]

    def refined(self):
        """The same with twice the substeps inside; None where there are none."""
        return None if self.transition.refined() is None else self.with_steps(2 * self.substeps)

    def noise_shape(self, x, u=None):
        """That of the transition."""
        return self.transition.noise_shape(x, u)

    def draw_noise(self, n, x, u=None, *, key):
        """That of the transition."""
        return self.transition.draw_noise(n, x, u, key=key)

    def jumped(self, x, t, u=None):
        """The state just after a datum at t."""
        kept = x[: x.shape[0] - self.reset]
        new = kept if self.jump is None else jnp.asarray(self.jump(t, kept, u), x.dtype)
        return jnp.concatenate([new, jnp.zeros(self.reset, x.dtype)])

    def push(self, x, t0, t1, u, noise):
        """The jump, where time moves on, and the transition."""
        return self.transition.push(jnp.where(t1 > t0, self.jumped(x, t0, u), x), t0, t1, u, noise)
