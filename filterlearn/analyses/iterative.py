"""The iterative ensemble Kalman filter."""

import equinox as eqx
import jax
import jax.numpy as jnp

from filterlearn.analyses.base import AbstractAnalysis, symmetric_transform, transformed
from filterlearn.clock import whole
from filterlearn.numerics.roots import inverse_root


class Iterative(AbstractAnalysis):
    """IEnKF: `iterations` Gauss-Newton steps for the state before the gap, the gap simulated anew at each (Sakov, Oliver &
    Bertino 2012, doi:10.1175/MWR-D-11-00176.1; in ensemble space, Bocquet & Sakov 2012, doi:10.5194/npg-19-383-2012):

        J(w) = w' w / 2 + e(w)' e(w) / 2,   w <- w - (I + Z' Z)^-1 (w - Z' e),   T = (I + Z' Z)^-1/2,

    w the weights of the anomalies before the gap, e the whitened innovation of the ensemble that they and T make, Z its
    whitened spread over T. The noise drawn in the gap is weighed like the state before it. With linear dynamics one step is
    the update of `Transform`; with others the mean goes to the mode of the smoothed state, as far as the members' own
    differences tell its slope. Costs `iterations` more simulations of each gap. Called by `update` alone, without the gap, it
    iterates over the observation only.
    """

    iterations: int = eqx.field(static=True, default=4)

    def __check_init__(self):
        whole("iterations", self.iterations, 1)

    def revise(self, members, seen, *, key):
        """One step of it."""
        return symmetric_transform(members, seen)

    def analysed(self, start, members, seen, forward, see, *, key):
        """Gauss-Newton steps by weights and transform of the start."""
        n = members.shape[0]
        identity = jnp.eye(n, dtype=members.dtype)

        def one(carry, _):
            weights, lift, (_, seen) = carry
            spread = seen.spread @ lift
            bend = identity + spread.T @ spread
            root = inverse_root(bend)
            weights = weights - root @ (root @ (weights - spread.T @ seen.error))
            members = forward(_mixed(start, weights / jnp.sqrt(n - 1.0), root))
            return (weights, bend @ root, (members, see(members))), None

        first = (jnp.zeros(n, members.dtype), identity, (members, seen))
        return jax.lax.scan(one, first, None, length=self.iterations)[0][2][0]


def _mixed(start, weights, transform):
    """Every number of the start moved and mixed across the members; keys as they are."""

    def one(leaf):
        rows = leaf.reshape(leaf.shape[0], -1)
        return transformed(rows, weights, transform).reshape(leaf.shape)

    return jax.tree.map(lambda leaf: one(leaf) if eqx.is_inexact_array(leaf) else leaf, start)
