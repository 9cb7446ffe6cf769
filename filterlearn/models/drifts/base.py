"""What a learnable drift is."""

import abc
from typing import Any

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float


class AbstractDrift(eqx.Module):
    """The drift of an SDE with learnable leaves, for `SDE(drift, diffusion)` and `ModelFamily.from_module`."""

    @abc.abstractmethod
    def __call__(self, t, x: Float[Array, "n"], u) -> Float[Array, "n"]:
        """dx/dt at a time, a state and inputs (None where there are none), per unit of the data's time."""


class AbstractSeparable(AbstractDrift):
    """A drift of positions and momenta, x = (q, p): dq/dt = velocity(p), dp/dt = force(q, u) - damping p, for
    `Symplectic`."""

    damping: eqx.AbstractVar[Any]

    @abc.abstractmethod
    def velocity(self, p: Float[Array, "n"]) -> Float[Array, "n"]:
        """dq/dt."""

    @abc.abstractmethod
    def force(self, t, q: Float[Array, "n"], u) -> Float[Array, "n"]:
        """dp/dt without damping."""

    def __call__(self, t, x, u):
        q, p = jnp.split(x, 2)
        return jnp.concatenate([self.velocity(p), self.force(t, q, u) - self.damping * p])


def driven(matrix, u):
    """B u with each row divided by the square root of its length, or 0 where there are no inputs."""
    return 0.0 if matrix is None else matrix @ jnp.ravel(u).astype(matrix.dtype) / matrix.shape[1] ** 0.5


def bowl(network, stiffness, x):
    """stiffness |x|^2 / 2 + N(x), an energy."""
    return 0.5 * stiffness * (x @ x) + network(x)[0]
