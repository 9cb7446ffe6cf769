"""A drift of generalised coordinates."""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from filterlearn.models.drifts.base import AbstractDrift, bowl, driven
from filterlearn.models.networks import Network


class LagrangianDrift(AbstractDrift):
    """dq/dt = v, d/dt dL/dv = dL/dq - damping v + B u of the state (q, v), L = v'M(q) v / 2 - V(q) with the masses M = I + R
    R' / n, R the values of a network of q, and V(q) = stiffness |q|^2 / 2 + N(q) (Lutter, Ritter & Peters 2019,
    arXiv:1907.04490; Cranmer et al. 2020, arXiv:2003.04630).

    The energy v'M v / 2 + V changes by -damping |v|^2 + v'B u: it stays without damping, inputs and noise. Coordinates may be
    any, angles too; M may depend on them, where `HamiltonianDrift` has constant masses.
    """

    network: Network
    masses: Network
    drive: Array | None
    stiffness: Any
    damping: Any

    def __init__(self, positions: int, *, inputs: int = 0, width: int = 32, depth: int = 1, stiffness=1.0, damping=0.0, key):
        first, second, third = jax.random.split(key, 3)
        self.network = Network(positions, 1, width=width, depth=depth, key=first)
        self.masses = Network(positions, positions**2, width=width, depth=depth, key=second)
        self.drive = jax.random.normal(third, (positions, inputs)) if inputs else None
        self.stiffness, self.damping = stiffness, damping

    def momentum(self, q: Float[Array, "n"], v: Float[Array, "n"]) -> Float[Array, "n"]:
        """M(q) v."""
        root = self.masses(q).reshape(q.shape[0], -1)
        return v + root @ (root.T @ v) / q.shape[0]

    def potential(self, q: Float[Array, "n"]) -> Float[Array, ""]:
        """V."""
        return bowl(self.network, self.stiffness, q)

    def energy(self, x: Float[Array, "k"]) -> Float[Array, ""]:
        """v'M v / 2 + V."""
        q, v = jnp.split(x, 2)
        return 0.5 * v @ self.momentum(q, v) + self.potential(q)

    def __call__(self, t, x, u):
        q, v = jnp.split(x, 2)
        pulled = jax.grad(lambda q: 0.5 * v @ self.momentum(q, v) - self.potential(q))(q)
        turning = jax.jvp(lambda q: self.momentum(q, v), (q,), (v,))[1]  # dM/dt v
        forces = pulled - turning - self.damping * v + driven(self.drive, u)
        masses = jax.jacfwd(lambda v: self.momentum(q, v))(v)
        return jnp.concatenate([v, jnp.linalg.solve(masses, forces[:, None])[:, 0]])
