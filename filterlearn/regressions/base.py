"""What a regression of vector functions offers."""

import abc
from typing import Any

import equinox as eqx
from jaxtyping import Array, Float


class AbstractRegression(eqx.Module):
    """A function of points near N(0, I), told by its values at some of them."""

    @abc.abstractmethod
    def least(self, n: int) -> int:
        """How many points are needed in dimension n."""

    @abc.abstractmethod
    def fitted(self, points: Float[Array, "N n"], values: Float[Array, "N k"]) -> Any:
        """What is kept of them, of a fixed shape."""

    @abc.abstractmethod
    def at(self, kept, point: Float[Array, "n"]) -> Float[Array, "k"]:
        """The function at a point."""
