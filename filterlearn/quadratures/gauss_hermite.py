"""The tensor product of Gauss-Hermite rules."""

import equinox as eqx
import jax.numpy as jnp
import numpy as np

from filterlearn.clock import whole
from filterlearn.quadratures.base import AbstractQuadrature

_MOST = 10_000


class GaussHermite(AbstractQuadrature):
    """`order` points along each axis, order^n of them: exact for polynomials of degree 2 order - 1 in each coordinate (Ito &
    Xiong 2000, doi:10.1109/9.855552). For few states: more than 10,000 points are refused with ValueError."""

    order: int = eqx.field(static=True, default=3)

    def __check_init__(self):
        whole("order", self.order, 2)

    def points(self, n, dtype):
        """The grid of the roots of the Hermite polynomial, by products of their weights."""
        if self.order**n > _MOST:
            raise ValueError(f"order: {self.order}^{n} points are more than {_MOST}; use Cubature or a lower order")
        roots, weights = np.polynomial.hermite_e.hermegauss(self.order)
        index = np.indices((self.order,) * n).reshape(n, -1).T
        whole = jnp.asarray(np.prod((weights / weights.sum())[index], axis=1), dtype)
        return jnp.asarray(roots[index], dtype), whole, whole
