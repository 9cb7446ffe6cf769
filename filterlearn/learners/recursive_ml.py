"""The likelihood climbed one datum at a time."""

import math
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import optax

from filterlearn.beliefs.gaussian import Gaussian
from filterlearn.beliefs.joint import TangentBelief
from filterlearn.data import Datum
from filterlearn.filters.particle import ParticleFilter
from filterlearn.filters.quasi_monte_carlo import SequentialQuasiMonteCarlo
from filterlearn.filters.rao_blackwellised import RaoBlackwellised
from filterlearn.learners.base import AbstractLearner, forgotten, informed
from filterlearn.models.family import ModelFamily
from filterlearn.numerics.masking import choose, observed
from filterlearn.numerics.small import as_matrix, cholesky, lower_solve, symmetric
from filterlearn.protocol import NOT_FINITE, AbstractAlgorithm, origin_of, strong


def natural_gradient(gain=1.0) -> optax.GradientTransformationExtraArgs:
    """The optimiser whose step is gain x P x score, P the covariance that `RecursiveMaximumLikelihood` keeps (Amari 1998,
    doi:10.1162/089976698300017746).

    For static parameters P falls as 1 / t and a gain of 1 is asymptotically efficient; under a motion P settles where what is
    learned balances what is lost, and so does the gain.
    """

    def update(updates, state, params=None, **extra):
        return -gain * (extra["covariance"] @ updates), state

    return optax.GradientTransformationExtraArgs(lambda params: optax.EmptyState(), update)


def _pushed(function, theta, belief, tangent):
    """function(theta, belief) and its derivative along theta, a row for each entry, the belief itself moving by `tangent`."""
    smooth, fixed = eqx.partition(belief, eqx.is_inexact_array)

    def along(theta, smooth):
        return eqx.partition(function(theta, eqx.combine(smooth, fixed)), eqx.is_inexact_array)

    moving, slope, still = jax.linearize(along, theta, smooth, has_aux=True)
    return eqx.combine(moving, still), jax.vmap(slope)(jnp.eye(theta.shape[0], dtype=theta.dtype), tangent)


class RecursiveMaximumLikelihood(AbstractLearner):
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
        drawn = ParticleFilter | SequentialQuasiMonteCarlo | RaoBlackwellised
        if isinstance(self.filter, drawn | AbstractLearner) or not isinstance(self.filter, AbstractAlgorithm):
            name = type(self.filter).__name__
            raise TypeError(f"filter: Kalman, ExtendedKalman, SigmaPoint or EnsembleKalman is needed, got {name}")
        if not isinstance(self.optimiser, optax.GradientTransformation):
            raise TypeError(f"optimiser: an optax transformation is needed, got {type(self.optimiser).__name__}")

    def init(self, problem, *, key=None):
        """theta at the prior's median, and the filter's start there with its tangent."""
        if not isinstance(problem, ModelFamily):
            raise TypeError(f"problem: a learner needs a ModelFamily, got {type(problem).__name__}")

        theta = strong(problem.median)
        state, tangent = _pushed(lambda theta, _: strong(self.filter.init(problem(theta), key=key)), theta, None, None)
        known = Gaussian.of(theta, jnp.diag(problem.sd**2), state.time)
        return strong(TangentBelief(known, state, tangent, self._optimiser.init(theta)))

    @property
    def _optimiser(self):
        return optax.with_extra_args_support(self.optimiser)

    def predict(self, problem, belief, time, inputs=None, *, key=None):
        """Parameters moved by their laws, their covariance widened; the filter's prediction and its tangent."""
        known = self._moved(problem, belief.parameters, time)

        def ahead(theta, state):
            return self.filter.predict(problem(theta), state, time, inputs, key=key)

        state, tangent = _pushed(ahead, known.mean, belief.state, belief.tangent)
        return TangentBelief(known, state, tangent, belief.optimiser)

    def _moved(self, problem, known, time):
        gap = time - origin_of(known.time, time)
        known = forgotten(problem, known, time)
        slope = jax.jacfwd(lambda theta: problem.motion(theta, gap)[0])(known.mean)
        mean, factor = problem.motion(known.mean, gap)
        noise = as_matrix(factor) @ as_matrix(factor).T
        covariance = symmetric(slope @ known.covariance @ slope.T + noise)
        return eqx.tree_at(lambda b: (b.mean, b.covariance, b.time), known, (mean, covariance, time))

    def update(self, problem, belief, datum, *, key=None):
        """The filter's update, its score, and the optimiser's step."""

        def after(theta, state):
            def told(value):
                return self.filter.update(problem(theta), state, Datum(datum.time, value, datum.inputs), key=key)

            precision = -jax.jacfwd(jax.jacfwd(lambda value: told(value)[1].log_evidence))(datum.value)
            return (*told(datum.value), precision)

        theta, known = belief.parameters.mean, belief.parameters
        (state, info, precision), (tangent, slopes, bends) = _pushed(after, theta, belief.state, belief.tangent)
        covariance = informed(known.covariance, fisher_factor(slopes.predicted[0], precision, bends))
        step, optimiser = self._optimiser.update(-slopes.log_evidence, belief.optimiser, theta, covariance=covariance)
        known = eqx.tree_at(lambda b: (b.mean, b.covariance), known, (theta + step, covariance))
        new = choose(observed(datum.value).any(), TangentBelief(known, state, tangent, optimiser), belief)
        lost = NOT_FINITE * ~jnp.isfinite(slopes.log_evidence).all()
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
