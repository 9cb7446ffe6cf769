"""What the learners share."""

import abc
import math
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from filterlearn.beliefs.joint import TangentBelief
from filterlearn.data import Datum
from filterlearn.filters.particle import ParticleFilter
from filterlearn.filters.quasi_monte_carlo import SequentialQuasiMonteCarlo
from filterlearn.filters.rao_blackwellised import RaoBlackwellised
from filterlearn.models.family import ModelFamily
from filterlearn.numerics.forgetting import forgetting_map
from filterlearn.numerics.masking import choose, observed
from filterlearn.numerics.small import cholesky, lower_solve, semidefinite_factor, symmetric, upper_solve
from filterlearn.numerics.tangents import pushed
from filterlearn.protocol import NOT_FINITE, AbstractAlgorithm, origin_of, strong

_STREAM = 2**31 - 2


class AbstractLearner(AbstractAlgorithm):
    """An algorithm one level up: its problem is a ModelFamily, and the parameters are part of what it infers."""


def forgotten(family, belief, time, *, key=None):
    """A belief about a vector that ends in theta, with the parameters that forget let go towards their prior over the time
    since the belief. What it says of the other parameters stays, and of everything else given the parameters. Points that
    resampling has copied are parted: the share 1 - lambda of each deviation is drawn afresh."""
    entries, kept = family.kept(time - origin_of(belief.time, time))
    if not entries.size:
        return belief
    mean = belief.mean
    others = np.setdiff1d(np.arange(family.size), entries)
    places = [jnp.asarray(part + mean.shape[0] - family.size) for part in (others, entries)]
    prior = family.median[entries], family.sd[entries]
    kept = kept.astype(mean.dtype)
    own = None if key is None else jax.random.fold_in(key, _STREAM)  # `key` itself drives the filter's prediction
    law = forgetting_map(mean, belief.covariance, *places, *prior, kept, belief.fresh(1 - kept))
    return belief.mapped(*law, key=own)


def informed(covariance, factor):
    """The inverse of covariance^-1 + B B', positive semidefinite whatever the rounding."""
    p = covariance.shape[0]
    factor = factor if factor.shape[1] < p else semidefinite_factor(factor @ factor.T)
    seen = cholesky(jnp.eye(factor.shape[1], dtype=factor.dtype) + factor.T @ covariance @ factor)
    gain = upper_solve(seen, lower_solve(seen, factor.T @ covariance)).T
    left = jnp.eye(p, dtype=gain.dtype) - gain @ factor.T
    return symmetric(left @ covariance @ left.T + gain @ gain.T)


class AbstractTangentLearner(AbstractLearner):
    """One theta, and the derivative along it of the belief of the filter inside, hence the score and the Fisher information
    of each datum (LeGland & Mevel 1997); the rest is what becomes of them."""

    filter: eqx.AbstractVar[Any]

    def _check_filter(self):
        drawn = ParticleFilter | SequentialQuasiMonteCarlo | RaoBlackwellised
        if isinstance(self.filter, drawn | AbstractLearner) or not isinstance(self.filter, AbstractAlgorithm):
            name = type(self.filter).__name__
            raise TypeError(f"filter: Kalman, ExtendedKalman, SigmaPoint or EnsembleKalman is needed, got {name}")

    @abc.abstractmethod
    def _start(self, problem, time) -> tuple[Any, Any]:
        """The first belief about theta, and what the optimiser keeps."""

    @abc.abstractmethod
    def _moved(self, problem, known, time):
        """The belief about theta at a later time."""

    @abc.abstractmethod
    def _learned(self, known, optimiser, score, factor) -> tuple[Any, Any]:
        """Both after a datum with this score and the Fisher information B B', B = `factor`."""

    def init(self, problem, *, key=None):
        """theta at the prior's median, and the filter's start there with its tangent."""
        if not isinstance(problem, ModelFamily):
            raise TypeError(f"problem: a learner needs a ModelFamily, got {type(problem).__name__}")

        def start(theta, _):
            return strong(self.filter.init(problem(theta), key=key)), ()

        state, tangent, _ = pushed(start, strong(problem.median), None, None)
        known, optimiser = self._start(problem, state.time)
        return strong(TangentBelief(known, state, tangent, optimiser))

    def predict(self, problem, belief, time, inputs=None, *, key=None):
        """Parameters moved by their laws, their covariance widened; the filter's prediction and its tangent."""
        known = self._moved(problem, belief.parameters, time)

        def ahead(theta, state):
            return self.filter.predict(problem(theta), state, time, inputs, key=key), ()

        state, tangent, _ = pushed(ahead, known.mean, belief.state, belief.tangent)
        return TangentBelief(known, state, tangent, belief.optimiser)

    def update(self, problem, belief, datum, *, key=None):
        """The filter's update, its score and information, and what is learned from them."""

        def after(theta, state):
            def told(value):
                new, info = self.filter.update(problem(theta), state, Datum(datum.time, value, datum.inputs), key=key)
                return info.log_evidence, (new, info)

            bend, (new, info) = jax.jacfwd(jax.grad(told, has_aux=True), has_aux=True)(datum.value)
            return (new, info.log_evidence, info.predicted[0], -bend), info

        known, optimiser = belief.parameters, belief.optimiser
        (state, _, _, precision), slopes, info = pushed(after, known.mean, belief.state, belief.tangent)
        tangent, score, along, bends = slopes
        known, optimiser = self._learned(known, optimiser, score, fisher_factor(along, precision, bends))
        new = choose(observed(datum.value).any(), TangentBelief(known, state, tangent, optimiser), belief)
        lost = NOT_FINITE * ~jnp.isfinite(score).all()
        return new, eqx.tree_at(lambda i: i.flags, info, (info.flags | lost).astype(info.flags.dtype))


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
