"""The local ensemble transform Kalman filter."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from filterlearn.analyses.base import AbstractAnalysis, centred, check_distance
from filterlearn.numerics.roots import inverse_root
from filterlearn.numerics.taper import HALF_WIDTH, gaspari_cohn


class Local(AbstractAnalysis):
    """Each coordinate of the state is transformed by the observations near it, their precision tapered with distance (Hunt,
    Kostelich & Szunyogh 2007, doi:10.1016/j.physd.2006.11.008).

    `distance` `(n, m)` is that of state i to observation j, in the unit of `radius`; the taper is Gaspari & Cohn's with
    half-width 1.82 radius. R should be diagonal: entries are whitened before they are tapered. `nearest` observations enter
    each transform: by default as many as the taper reaches at the radius given. The radius can be differentiated.
    Raises ValueError for a distance that is not a finite matrix or a radius that is not positive.
    """

    distance: Any
    radius: Any
    near: Any
    nearest: int = eqx.field(static=True)
    observations: int = eqx.field(static=True)

    def __init__(self, distance, radius, *, nearest=None):
        matrix = np.asarray(distance, float)
        if matrix.ndim != 2 or not np.isfinite(matrix).all():
            raise ValueError(f"distance: a finite matrix (states, observations) is needed, got shape {matrix.shape}")
        if not float(radius) > 0:
            raise ValueError(f"radius: a positive distance is needed, got {radius}")
        reach = int((np.abs(matrix) < 2 * HALF_WIDTH * float(radius)).sum(axis=1).max())
        self.nearest = max(reach, 1) if nearest is None else nearest
        self.near = jnp.asarray(np.argsort(np.abs(matrix), axis=1, kind="stable")[:, : self.nearest])
        self.distance = jnp.asarray(np.take_along_axis(np.abs(matrix), np.asarray(self.near), axis=1))
        self.radius, self.observations = radius, matrix.shape[1]

    def revise(self, members, seen, *, key):
        """One transform for each coordinate, from the tapered observations near it."""
        n = members.shape[0]
        check_distance((self.near.shape[0], self.observations), members, seen)
        mean, anomalies = centred(members)
        identity = jnp.eye(n, dtype=members.dtype)
        weight = jnp.sqrt(gaspari_cohn(jnp.asarray(self.distance, members.dtype), self.radius))

        def one(near, taper, column):
            spread, error = taper[:, None] * seen.spread[near], taper * seen.error[near]
            root = inverse_root(identity + spread.T @ spread)
            shift = root @ (root @ (spread.T @ error)) / jnp.sqrt(n - 1.0)
            return shift @ column + root @ column

        return mean + jax.vmap(one)(self.near, weight, anomalies.T).T
