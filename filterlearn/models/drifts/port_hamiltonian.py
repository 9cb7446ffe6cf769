"""A drift that loses energy."""

from typing import Any

import jax
from jaxtyping import Array, Float

from filterlearn.models.drifts.base import AbstractDrift, bowl, driven
from filterlearn.models.networks import Network


class PortHamiltonianDrift(AbstractDrift):
    """f = (S - S' - R R') grad H + B u, H = stiffness |x|^2 / 2 + N(x), entries of S and R divided by sqrt(n) (Massaroli et
    al. 2020, arXiv:2003.08063; van der Schaft & Jeltsema 2014, doi:10.1561/2600000002).

    dH/dt = -|R' grad H|^2 + grad H . B u: without noise and inputs the energy never grows, and as N is bounded (tanh units)
    and H is not, neither do paths. Of the resting points, which may be several, each lower one takes what loses enough.
    """

    network: Network
    turn: Array
    loss: Array
    drive: Array | None
    stiffness: Any

    def __init__(self, states: int, *, inputs: int = 0, width: int = 32, depth: int = 1, stiffness=1.0, key):
        first, second, third, fourth = jax.random.split(key, 4)
        self.network = Network(states, 1, width=width, depth=depth, key=first)
        self.turn, self.loss = (jax.random.normal(k, (states, states)) for k in (second, third))
        self.drive = jax.random.normal(fourth, (states, inputs)) if inputs else None
        self.stiffness = stiffness

    def energy(self, x: Float[Array, "n"]) -> Float[Array, ""]:
        """H."""
        return bowl(self.network, self.stiffness, x)

    def __call__(self, t, x, u):
        n, slope = x.shape[0], jax.grad(self.energy)(x)
        turned = (self.turn - self.turn.T) @ slope / n**0.5
        lost = self.loss @ (self.loss.T @ slope) / n
        return turned - lost + driven(self.drive, u)
