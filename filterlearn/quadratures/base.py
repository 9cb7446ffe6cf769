"""What a sigma-point rule offers."""

import abc

import equinox as eqx
from jaxtyping import Array, Float


class AbstractQuadrature(eqx.Module):
    """A rule for expectations under N(0, I): E f(z) is about the sum of w_i f(z_i)."""

    @abc.abstractmethod
    def points(self, n: int, dtype) -> tuple[Float[Array, "k n"], Float[Array, "k"], Float[Array, "k"]]:
        """Points in dimension n, their weights for means, and their weights for covariances."""
