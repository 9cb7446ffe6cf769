"""The likelihood climbed one datum at a time."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import optax

from filterlearn.beliefs.gaussian import Gaussian
from filterlearn.learners.base import AbstractTangentLearner, forgotten, informed
from filterlearn.numerics.small import as_matrix, symmetric
from filterlearn.protocol import AbstractAlgorithm, origin_of, strong


def natural_gradient(gain=1.0) -> optax.GradientTransformationExtraArgs:
    """The optimiser whose step is gain x P x score, P the covariance that `RecursiveMaximumLikelihood` keeps (Amari 1998,
    doi:10.1162/089976698300017746).

    For static parameters P falls as 1 / t and a gain of 1 is asymptotically efficient; under a motion P settles where what is
    learned balances what is lost, and so does the gain.
    """

    def update(updates, state, params=None, **extra):
        return -gain * (extra["covariance"] @ updates), state

    return optax.GradientTransformationExtraArgs(lambda params: optax.EmptyState(), update)


class RecursiveMaximumLikelihood(AbstractTangentLearner):
    """theta_k = theta_k-1 + step(score_k), score_k = d log p(y_k | y_1..k-1) / d theta by the tangent filter, which carries
    d belief / d theta beside the belief (LeGland & Mevel 1997, 36th IEEE Conference on Decision and Control, 3468-3473; gains
    and their theory: Ljung & Soderstrom 1983, ISBN 9780262120951).

    `optimiser` is any optax transformation, fed with -score: `optax.sgd(gain)` or a schedule of gains, `optax.adam`, clipping
    before any of them, or `natural_gradient()`. theta starts at the prior's median and lives on the unconstrained scale. The
    score is exact at a frozen theta (that of the filter's own evidence: the ensemble's at its fixed noise, members moved by
    their paths); along a moving one each step's tangent belongs to the theta of that step, as usual.

    `parameters` is Gaussian, with covariance P from the recursive Fisher information: P^-1 starts at the prior's precision
    and gains, at each datum, the information of the Gaussian law that the filter predicted for it; motion and forgetting
    widen P as they widen any belief. It is the spread of an efficient estimate: right for `natural_gradient(1.0)`, too small
    for other gains. The state's belief is that at theta, without the uncertainty about theta.

    Takes Kalman, extended, sigma-point and ensemble filters; particle filters are refused: the derivative along their paths
    degenerates.
    """

    filter: AbstractAlgorithm
    optimiser: Any

    def __check_init__(self):
        self._check_filter()
        if not isinstance(self.optimiser, optax.GradientTransformation):
            raise TypeError(f"optimiser: an optax transformation is needed, got {type(self.optimiser).__name__}")

    @property
    def _optimiser(self):
        return optax.with_extra_args_support(self.optimiser)

    def _start(self, problem, time):
        known = Gaussian.of(strong(problem.median), jnp.diag(problem.sd**2), time)
        return known, self._optimiser.init(known.mean)

    def _moved(self, problem, known, time):
        gap = time - origin_of(known.time, time)
        known = forgotten(problem, known, time)
        slope = jax.jacfwd(lambda theta: problem.motion(theta, gap)[0])(known.mean)
        mean, factor = problem.motion(known.mean, gap)
        noise = as_matrix(factor) @ as_matrix(factor).T
        covariance = symmetric(slope @ known.covariance @ slope.T + noise)
        return eqx.tree_at(lambda b: (b.mean, b.covariance, b.time), known, (mean, covariance, time))

    def _learned(self, known, optimiser, score, factor):
        """The optimiser's step."""
        covariance = informed(known.covariance, factor)
        step, optimiser = self._optimiser.update(-score, optimiser, known.mean, covariance=covariance)
        return eqx.tree_at(lambda b: (b.mean, b.covariance), known, (known.mean + step, covariance)), optimiser
