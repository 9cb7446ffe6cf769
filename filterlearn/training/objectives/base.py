"""What training makes small."""

import abc

import equinox as eqx
from jaxtyping import Array, Float


class AbstractObjective(eqx.Module):
    """A loss of a module on one series. What the objective itself holds is not trained."""

    @abc.abstractmethod
    def loss(self, module, series, key) -> Float[Array, ""]:
        """The loss on one series, to be made small; the same key gives the same loss."""
