"""How a parameter moves, on the unconstrained scale."""

import abc
from typing import NamedTuple

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from filterlearn.numerics.small import spread


class Prior(NamedTuple):
    """The prior on the unconstrained scale, by its median and standard deviations `(p,)`."""

    centre: Float[Array, "p"]
    sd: Float[Array, "p"]


class AbstractDynamics(eqx.Module):
    """The law of theta after a gap, and how much of the belief about it outlasts the gap. theta is the flat unconstrained
    piece of one parameter, or of several that move together, in the order in which they are named."""

    @abc.abstractmethod
    def moments(self, theta, gap, prior: Prior) -> tuple[Float[Array, "p"], Float[Array, "p *k"]]:
        """Mean of theta after a gap, and its noise: standard deviations `(p,)`, or a factor `(p, p)`."""

    @property
    def chances(self) -> int:
        """How many standard normals a draw takes beside one for each entry: none of a Gaussian law."""
        return 0

    @property
    def gaussian(self) -> bool:
        """Whether `moments` are all there is to it."""
        return self.chances == 0 and self.kept(1.0) is None

    def moved(self, theta, gap, prior: Prior, noise: Float[Array, "k"]) -> Float[Array, "p"]:
        """theta after a gap, from standard normals."""
        mean, factor = self.moments(theta, gap, prior)
        return mean + spread(factor, noise)

    def kept(self, gap):
        """The power lambda of the belief that outlasts the gap, in posterior^lambda x prior^(1 - lambda); None: all of it."""
        return None  # noqa: RET501


def noise(scale, size, time):
    """`scale`, numbers or a matrix factor, times a function of the gap, for `size` entries: `(size,)` or `(size, size)`."""
    if np.shape(scale) not in ((), (1,), (size,), (size, size)):
        raise ValueError(f"scale: {size} numbers or a {size} x {size} factor are needed, got shape {np.shape(scale)}")
    return jnp.broadcast_to(jnp.asarray(scale) * time, (size, size) if np.ndim(scale) == 2 else (size,))
