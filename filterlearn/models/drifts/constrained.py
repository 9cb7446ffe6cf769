"""A drift of points that are tied together."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from filterlearn.models.drifts.base import AbstractDrift
from filterlearn.models.networks import Network


class ConstrainedDrift(AbstractDrift):
    """dq/dt = v, m dv/dt = -grad V(q) - damping v - G'l of the state (q, v) in Cartesian coordinates, held at c(q) = 0 by the
    multipliers l that solve d^2 c/dt^2 = -2 pull dc/dt - pull^2 c, G = dc/dq (Finzi, Wang & Wilson 2020, arXiv:2010.13581;
    Baumgarte 1972, doi:10.1016/0045-7825(72)90018-7).

    `constraint` is a function of q with values `(k,)`, such as lengths of rods, whose G has full rank on the way; V is a
    `Network` of q, plus what `known` gives, a function of q. Masses are exp of `log_masses`, one for each entry of q. Where c
    = 0 and dc/dt = 0 at first they stay so, and the energy changes by -damping |v|^2; what a solver or noise leaves of c is
    pulled back at the rate `pull`.
    """

    network: Network
    log_masses: Array
    constraint: Callable
    known: Callable
    damping: Any
    pull: Any

    def __init__(
        self, coordinates: int, constraint, *, known=None, width: int = 32, depth: int = 1, damping=0.0, pull=1.0, key
    ):
        if not callable(constraint):
            raise TypeError(f"constraint: a function of q is needed, got {type(constraint).__name__}")
        self.network = Network(coordinates, 1, width=width, depth=depth, key=key)
        self.log_masses = jnp.zeros(coordinates)
        self.constraint, self.known = constraint, known or _nothing
        self.damping, self.pull = damping, pull

    def potential(self, q: Float[Array, "n"]) -> Float[Array, ""]:
        """V."""
        return self.network(q)[0] + self.known(q)

    def energy(self, x: Float[Array, "k"]) -> Float[Array, ""]:
        """|v|^2 weighed by the masses, halved, and V."""
        q, v = jnp.split(x, 2)
        return 0.5 * jnp.exp(self.log_masses) @ v**2 + self.potential(q)

    def __call__(self, t, x, u):
        q, v = jnp.split(x, 2)
        free = -jax.grad(self.potential)(q) - self.damping * v
        slope = jax.jacrev(self.constraint)(q)
        speed, curve = jax.jvp(lambda q: jax.jvp(self.constraint, (q,), (v,))[1], (q,), (v,))
        light = jnp.exp(-self.log_masses)
        wanted = slope @ (light * free) + curve + 2 * self.pull * speed + self.pull**2 * self.constraint(q)
        tension = jnp.linalg.solve((slope * light) @ slope.T, wanted[:, None])[:, 0]
        return jnp.concatenate([v, light * (free - slope.T @ tension)])


def _nothing(q):
    return 0.0
