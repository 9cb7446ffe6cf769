"""A drift that keeps its energy."""

from typing import Any

import jax
from jaxtyping import Array, Float

from filterlearn.models.drifts.base import AbstractSeparable, bowl, driven
from filterlearn.models.networks import Network


class HamiltonianDrift(AbstractSeparable):
    """dq/dt = dH/dp, dp/dt = -dH/dq - damping p + B u of the state (q, p), H = p'W p / 2 + V(q) with the inverse masses W = I
    + R R' / n and the potential V(q) = stiffness |q|^2 / 2 + N(q) (Greydanus, Dzamba & Yosinski 2019, arXiv:1906.01563).

    dH/dt = -damping p'W p + p'W B u: without damping, inputs and noise the energy stays, volumes stay, and the same path
    leads back from (q, -p). `Symplectic` steps keep all but the first, which they keep within O(h^2) for exponentially long.
    `potential` and `stiffness` are per unit of time squared, `damping` per unit of time. N is bounded (tanh units), so that
    with a positive stiffness and no inputs paths are.
    """

    network: Network
    loss: Array
    drive: Array | None
    stiffness: Any
    damping: Any

    def __init__(self, positions: int, *, inputs: int = 0, width: int = 32, depth: int = 1, stiffness=1.0, damping=0.0, key):
        first, second, third = jax.random.split(key, 3)
        self.network = Network(positions, 1, width=width, depth=depth, key=first)
        self.loss = jax.random.normal(second, (positions, positions))
        self.drive = jax.random.normal(third, (positions, inputs)) if inputs else None
        self.stiffness, self.damping = stiffness, damping

    def potential(self, q: Float[Array, "n"]) -> Float[Array, ""]:
        """V."""
        return bowl(self.network, self.stiffness, q)

    def energy(self, x: Float[Array, "k"]) -> Float[Array, ""]:
        """H."""
        n = x.shape[0] // 2
        return 0.5 * x[n:] @ self.velocity(x[n:]) + self.potential(x[:n])

    def velocity(self, p):
        """W p."""
        return p + self.loss @ (self.loss.T @ p) / p.shape[0]

    def force(self, t, q, u):
        """-grad V + B u."""
        return driven(self.drive, u) - jax.grad(self.potential)(q)
