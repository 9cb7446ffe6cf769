"""The likelihood climbed one datum at a time."""

from typing import Any

import equinox as eqx
import optax

from filterlearn.beliefs.gaussian import Gaussian
from filterlearn.filters.particle import ParticleFilter
from filterlearn.learners.base import AbstractScoreLearner, informed, moved, released
from filterlearn.protocol import AbstractAlgorithm, strong
from filterlearn.scores.base import AbstractScore
from filterlearn.scores.fisher import FisherScore
from filterlearn.scores.tangent import TangentScore


def natural_gradient(gain=1.0) -> optax.GradientTransformationExtraArgs:
    """The optimiser whose step is gain x P x score, P the covariance that `RecursiveMaximumLikelihood` keeps (Amari 1998,
    doi:10.1162/089976698300017746).

    For static parameters P falls as 1 / t and a gain of 1 is asymptotically efficient; under a motion P settles where what is
    learned balances what is lost, and so does the gain.
    """

    def update(updates, state, params=None, **extra):
        return -gain * (extra["covariance"] @ updates), state

    return optax.GradientTransformationExtraArgs(lambda params: optax.EmptyState(), update)


class RecursiveMaximumLikelihood(AbstractScoreLearner):
    """theta_k = theta_k-1 + step(score_k), score_k = d log p(y_k | y_1..k-1) / d theta (LeGland & Mevel 1997, 36th IEEE
    Conference on Decision and Control, 3468-3473; for particles Poyiadjis, Doucet & Singh 2011, doi:10.1093/biomet/asq062;
    gains and their theory: Ljung & Soderstrom 1983, ISBN 9780262120951).

    `optimiser` is any optax transformation, fed with -score: `optax.sgd(gain)` or a schedule of gains, `optax.adam`, clipping
    before any of them, or `natural_gradient()`. theta starts at the prior's median and lives on the unconstrained scale.
    `score` is how that is carried beside the belief; None is `TangentScore()` for Gaussian and ensemble filters, exact at a
    frozen theta, and `FisherScore()` for a `ParticleFilter`, consistent there: the derivative along its paths degenerates.
    Along a moving theta what is carried belongs to the theta of each step, as usual.

    `parameters` is Gaussian, with covariance P from the recursive Fisher information: P^-1 starts at the prior's precision
    and gains, at each datum, the information of what was predicted for it; motion and forgetting widen P as they widen any
    belief. It is the spread of an efficient estimate: right for `natural_gradient(1.0)`, too small for other gains. The
    state's belief is that at theta, without the uncertainty about theta. TypeError for a filter that `score` does not take.
    """

    filter: AbstractAlgorithm
    optimiser: Any
    score: AbstractScore | None = None

    def __check_init__(self):
        if not isinstance(self.optimiser, optax.GradientTransformation):
            raise TypeError(f"optimiser: an optax transformation is needed, got {type(self.optimiser).__name__}")
        if self.score is not None and not isinstance(self.score, AbstractScore):
            raise TypeError(f"score: TangentScore(), FisherScore() or None is needed, got {type(self.score).__name__}")
        self._check_filter()

    @property
    def _score(self):
        return self.score or (FisherScore() if isinstance(self.filter, ParticleFilter) else TangentScore())

    @property
    def _optimiser(self):
        return optax.with_extra_args_support(self.optimiser)

    def _start(self, problem, time):
        known = Gaussian.of(strong(problem.start.mean), problem.start.covariance, time)
        return known, self._optimiser.init(known.mean)

    def _moved(self, problem, known, time):
        return moved(problem, known, time)

    def _learned(self, known, optimiser, score, factor):
        """The optimiser's step."""
        covariance = informed(known.covariance, factor)
        step, optimiser = self._optimiser.update(-score, optimiser, known.mean, covariance=covariance)
        return eqx.tree_at(lambda b: (b.mean, b.covariance), known, (known.mean + step, covariance)), optimiser

    def widened(self, problem, belief, kept, *, key=None):
        """The estimate and its covariance; what carries the score stays."""
        return eqx.tree_at(lambda b: b.parameters, belief, released(problem, belief.parameters, kept))
