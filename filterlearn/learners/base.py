"""What the learners share."""

import abc
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from filterlearn.beliefs.joint import TangentBelief
from filterlearn.models.family import ModelFamily
from filterlearn.numerics.forgetting import forgetting_map
from filterlearn.numerics.masking import choose, observed
from filterlearn.numerics.small import as_matrix, cholesky, lower_solve, semidefinite_factor, symmetric, upper_solve
from filterlearn.protocol import NOT_FINITE, AbstractAlgorithm, origin_of, strong
from filterlearn.scores.base import AbstractScore

_STREAM = 2**31 - 2


class AbstractLearner(AbstractAlgorithm):
    """An algorithm one level up: its problem is a ModelFamily, and the parameters are part of what it infers."""

    def widened(self, problem, belief, kept, *, key=None):
        """The belief with that about the parameters let go towards their prior: posterior^kept x prior^(1 - kept)."""
        raise TypeError(f"learner: {type(self).__name__} cannot let go of what it learned; give the monitor no response")


def check_family(problem) -> None:
    """Raises TypeError for what is not a ModelFamily."""
    if not isinstance(problem, ModelFamily):
        raise TypeError(f"problem: a learner needs a ModelFamily, got {type(problem).__name__}")


def let_go(family, belief, entries, kept, *, key=None):
    """A belief about a vector that ends in theta, with the entries (indices) of theta let go towards their prior: its power
    `kept` `(f,)` stays. What it says of the other parameters stays, and of everything else given the parameters. Points that
    resampling has copied are parted: the share 1 - kept of each deviation is drawn afresh."""
    mean = belief.mean
    others = np.setdiff1d(np.arange(family.size), entries)
    places = [jnp.asarray(part + mean.shape[0] - family.size) for part in (others, entries)]
    prior = family.median[entries], family.sd[entries]
    kept = kept.astype(mean.dtype)
    own = None if key is None else jax.random.fold_in(key, _STREAM)  # `key` itself drives the filter
    law = forgetting_map(mean, belief.covariance, *places, *prior, kept, belief.fresh(1 - kept))
    return belief.mapped(*law, key=own)


def forgotten(family, belief, time, *, key=None):
    """The parameters that forget let go, over the time since the belief."""
    entries, kept = family.kept(time - origin_of(belief.time, time))
    return let_go(family, belief, entries, kept, key=key) if entries.size else belief


def released(family, belief, kept, *, key=None):
    """All parameters let go by the same power."""
    everything = np.arange(family.size)
    return let_go(family, belief, everything, jnp.full(family.size, kept, family.median.dtype), key=key)


def moved(family, known, time):
    """A Gaussian belief about theta alone at a later time: what forgets has forgotten, the rest has moved by its law."""
    gap = time - origin_of(known.time, time)
    known = forgotten(family, known, time)
    slope = jax.jacfwd(lambda theta: family.motion(theta, gap)[0])(known.mean)
    mean, factor = family.motion(known.mean, gap)
    noise = as_matrix(factor) @ as_matrix(factor).T
    covariance = symmetric(slope @ known.covariance @ slope.T + noise)
    return eqx.tree_at(lambda b: (b.mean, b.covariance, b.time), known, (mean, covariance, time))


def informed(covariance, factor):
    """The inverse of covariance^-1 + B B', positive semidefinite whatever the rounding."""
    p = covariance.shape[0]
    factor = factor if factor.shape[1] < p else semidefinite_factor(factor @ factor.T)
    seen = cholesky(jnp.eye(factor.shape[1], dtype=factor.dtype) + factor.T @ covariance @ factor)
    gain = upper_solve(seen, lower_solve(seen, factor.T @ covariance)).T
    left = jnp.eye(p, dtype=gain.dtype) - gain @ factor.T
    return symmetric(left @ covariance @ left.T + gain @ gain.T)


class AbstractScoreLearner(AbstractLearner):
    """One theta, and beside the belief of the filter inside what tells the score and the Fisher information of each datum;
    the rest is what becomes of them."""

    filter: eqx.AbstractVar[Any]

    @property
    @abc.abstractmethod
    def _score(self) -> AbstractScore:
        """How the score is carried."""

    def _check_filter(self):
        if isinstance(self.filter, AbstractLearner) or not isinstance(self.filter, AbstractAlgorithm):
            raise TypeError(f"filter: one for the state alone is needed, got {type(self.filter).__name__}; use Kalman()")
        self._score.check(self.filter)

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
        """theta where learners start, and the filter's start there with what is carried."""
        check_family(problem)
        state, carried = self._score.init(self.filter, problem, strong(problem.start.mean), key=key)
        known, optimiser = self._start(problem, state.time)
        return strong(TangentBelief(known, state, carried, optimiser))

    def predict(self, problem, belief, time, inputs=None, *, key=None):
        """Parameters moved by their laws, their covariance widened; the filter's prediction."""
        known = self._moved(problem, belief.parameters, time)
        before = self.filter, problem, known.mean, belief.state, belief.tangent
        return TangentBelief(known, *self._score.predict(*before, time, inputs, key=key), belief.optimiser)

    def update(self, problem, belief, datum, *, key=None):
        """The filter's update, its score and information, and what is learned from them."""
        before = self.filter, problem, belief.parameters.mean, belief.state, belief.tangent
        return self._after(belief.parameters, belief.optimiser, datum, *self._score.update(*before, datum, key=key))

    def step(self, problem, belief, datum, *, keys):
        """Parameters moved, the filter's step, and what is learned from its score and information."""
        known = self._moved(problem, belief.parameters, datum.time)
        before = self.filter, problem, known.mean, belief.state, belief.tangent
        return self._after(known, belief.optimiser, datum, *self._score.step(*before, datum, keys=keys))

    def _after(self, known, optimiser, datum, state, carried, scored):
        """(belief, Info)."""
        learned = self._learned(known, optimiser, scored.score, scored.factor)
        new = choose(observed(datum.value).any(), learned, (known, optimiser))
        info, lost = scored.info, NOT_FINITE * ~jnp.isfinite(scored.score).all()
        flagged = eqx.tree_at(lambda i: i.flags, info, (info.flags | lost).astype(info.flags.dtype))
        return TangentBelief(new[0], state, carried, new[1]), flagged
