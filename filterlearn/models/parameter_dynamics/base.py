"""How a parameter moves, on the unconstrained scale."""

import abc

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float


class AbstractDynamics(eqx.Module):
    """The Gaussian law of theta after a gap, and how much of the belief about it outlasts the gap. theta is the flat
    unconstrained piece of one parameter, or of several that move together, in the order in which they are named."""

    @abc.abstractmethod
    def moments(self, theta, gap, centre) -> tuple[Float[Array, "p"], Float[Array, "p *k"]]:
        """Mean of theta after `gap` units of time, and its noise: standard deviations `(p,)`, or a factor `(p, p)`; `centre`
        is the prior's median."""

    def kept(self, gap):
        """The power lambda of the belief that outlasts the gap, in posterior^lambda x prior^(1 - lambda); None: all of it."""
        return None  # noqa: RET501


def noise(scale, size, time):
    """`scale`, numbers or a matrix factor, times a function of the gap, for `size` entries: `(size,)` or `(size, size)`."""
    if np.shape(scale) not in ((), (1,), (size,), (size, size)):
        raise ValueError(f"scale: {size} numbers or a {size} x {size} factor are needed, got shape {np.shape(scale)}")
    return jnp.broadcast_to(jnp.asarray(scale) * time, (size, size) if np.ndim(scale) == 2 else (size,))
