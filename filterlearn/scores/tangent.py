"""The score by the derivative of the belief."""

import math

import jax
import jax.numpy as jnp

from filterlearn.data import Datum
from filterlearn.filters.genealogy import Genealogy
from filterlearn.filters.particle import ParticleFilter
from filterlearn.filters.quasi_monte_carlo import SequentialQuasiMonteCarlo
from filterlearn.filters.rao_blackwellised import RaoBlackwellised
from filterlearn.numerics.masking import choose, observed
from filterlearn.numerics.small import cholesky, lower_solve
from filterlearn.numerics.tangents import pushed
from filterlearn.protocol import strong
from filterlearn.scores.base import AbstractScore, Scored


class TangentScore(AbstractScore):
    """The derivative of the belief by theta, carried by the derivatives of the filter's own verbs (LeGland & Mevel 1997, 36th
    IEEE Conference on Decision and Control, 3468-3473; theory: Ljung & Soderstrom 1983, ISBN 9780262120951).

    The score is exact at a frozen theta: that of the filter's own evidence, the ensemble's at its fixed noise, members moved
    by their paths. The information is that of the Gaussian law that the filter predicted for the datum. Takes filters of
    Gaussian beliefs and of ensembles; TypeError for particles, along whose paths the derivative degenerates.
    """

    def check(self, filter):
        """TypeError for a filter that draws points."""
        if isinstance(filter, ParticleFilter | SequentialQuasiMonteCarlo | RaoBlackwellised | Genealogy):
            name = type(filter).__name__
            raise TypeError(f"filter: Kalman, ExtendedKalman, SigmaPoint or EnsembleKalman is needed, got {name}")

    def init(self, filter, family, theta, *, key):
        """The derivative of the start."""

        def start(theta, _):
            return strong(filter.init(family(theta), key=key)), ()

        state, tangent, _ = pushed(start, theta, None, None)
        return state, tangent

    def predict(self, filter, family, theta, state, carried, time, inputs, *, key):
        """The derivative of the prediction."""

        def ahead(theta, state):
            return filter.predict(family(theta), state, time, inputs, key=key), ()

        ahead, tangent, _ = pushed(ahead, theta, state, carried)
        return ahead, tangent

    def update(self, filter, family, theta, state, carried, datum, *, key):
        """The derivative of the update and of the evidence."""

        def after(theta, state):
            def told(value):
                new, info = filter.update(family(theta), state, Datum(datum.time, value, datum.inputs), key=key)
                return info.log_evidence, (new, info)

            bend, (new, info) = jax.jacfwd(jax.grad(told, has_aux=True), has_aux=True)(datum.value)
            return (new, info.log_evidence, info.predicted[0], -bend), info

        (new, _, _, precision), slopes, info = pushed(after, theta, state, carried)
        tangent, score, along, bends = slopes
        both = choose(observed(datum.value).any(), (new, tangent), (state, carried))
        return (*both, Scored(info, score, fisher_factor(along, precision, bends)))


def fisher_factor(slopes, precision, bends):
    """B `(p, m + m^2)` with B B' = dmu' H dmu + tr(H^-1 dH H^-1 dH) / 2, the Fisher information of N(mu, H^-1), from the
    slopes of mu `(p, m)` and of H `(p, m, m)`; entries that the datum leaves out have no H and no share."""
    told = jnp.diagonal(precision) > 0
    both = told[:, None] & told
    factor = cholesky(jnp.where(both, precision, jnp.eye(precision.shape[0], dtype=precision.dtype)))

    def whitened(bend):
        return lower_solve(factor, lower_solve(factor, jnp.where(both, bend, 0.0)).T)

    spreads = jax.vmap(whitened)(bends).reshape(bends.shape[0], -1)
    return jnp.concatenate([jnp.where(told, slopes, 0.0) @ factor, spreads / math.sqrt(2.0)], axis=1)
