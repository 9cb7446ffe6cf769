"""What filters share."""

from typing import Any

import jax
import jax.numpy as jnp

from filterlearn.beliefs.base import start_time
from filterlearn.beliefs.particles import Particles, mean_of_told
from filterlearn.forms.base import AbstractForm
from filterlearn.forms.moment import MomentForm
from filterlearn.forms.square_root import SquareRootForm
from filterlearn.models.base import (
    AbstractFinite,
    AbstractGaussianObservation,
    AbstractGaussianTransition,
    AbstractLinearTransition,
    Diffuse,
    Initial,
    starting_gaussian,
)
from filterlearn.models.observations.linear_gaussian import LinearGaussianObservation
from filterlearn.numerics.densities import effective_size, masked_normal, normalise, safe_log
from filterlearn.numerics.masking import choose, filled, observed
from filterlearn.numerics.small import product
from filterlearn.protocol import COLLAPSED, COVARIANCE_LOST, NOT_FINITE, OUT_OF_RANGE, Info, origin_of, strong


def check_form(form) -> None:
    """Raises TypeError for what is not a form, or None."""
    if form is not None and not isinstance(form, AbstractForm):
        raise TypeError(f"form: MomentForm(), SquareRootForm() or None is needed, got {type(form).__name__}")


def form_for(form, dtype) -> AbstractForm:
    """The form given; for None, moments in double precision and square roots below it."""
    return form or (MomentForm() if dtype == jnp.float64 else SquareRootForm())


def gaussian_start(filter, problem):
    """The initial law by its moments, for a filter that takes Gaussian substeps and Gaussian observations; TypeError for what
    it cannot take."""
    model, name = problem.resolve(), type(filter).__name__
    if not isinstance(model.transition, AbstractGaussianTransition):
        given = type(model.transition).__name__
        raise TypeError(f"transition: {name} needs Gaussian substeps, got {given}; use ParticleFilter")
    if not isinstance(model.observation, AbstractGaussianObservation):
        given = type(model.observation).__name__
        raise TypeError(f"observation: {name} needs a Gaussian one, got {given}; use ParticleFilter")
    return formed(filter.form, proper_start(model.initial))


def formed(form, belief):
    """A Gaussian belief in the form of a filter."""
    own = form_for(form, belief.mean.dtype)
    return own.belief(belief.mean, own.spread(belief), belief.time)


def proper_start(initial):
    """The initial law by its moments; TypeError for a diffuse one."""
    if isinstance(initial, Diffuse):
        raise TypeError("initial: a diffuse start needs Kalman; give a Gaussian")
    return strong(starting_gaussian(initial))


def linear_start(filter, problem):
    """The initial law of a linear-Gaussian model in the filter's form, a diffuse one in moments; TypeError for others."""
    model, name = problem.resolve(), type(filter).__name__
    if not isinstance(model.transition, AbstractLinearTransition):
        given = type(model.transition).__name__
        raise TypeError(f"transition: {name} needs a linear one, got {given}; use ExtendedKalman")
    if not model.transition.gaussian:
        raise TypeError(
            f"transition: {name} needs Gaussian noise, got jumps; use ExtendedKalman, which matches their moments"
        )
    if not isinstance(model.observation, LinearGaussianObservation):
        given = type(model.observation).__name__
        raise TypeError(f"observation: {name} needs LinearGaussianObservation, got {given}; use ExtendedKalman")
    start = strong(starting_gaussian(model.initial))
    return start if isinstance(model.initial, Diffuse) else formed(filter.form, start)


def linear_prediction(filter, problem, belief, time, inputs):
    """A m + b, A P A' + Q."""
    a, b, q = problem.resolve().transition.discretise(origin_of(belief.time, time), time, inputs)
    form, mean = form_for(filter.form, b.dtype), product(a, belief.mean[:, None])[:, 0] + b
    return form.belief(mean, form.moved(form.spread(belief), a, form.of(q)), time)


def linear_correction(filter, problem, belief, datum):
    """The correction by a datum y = H x + d + N(0, R): (belief, Info)."""
    h, d, r = problem.resolve().observation.linear(datum.time, datum.inputs)
    mask, form = observed(datum.value), form_for(filter.form, belief.mean.dtype)
    mean = product(h, belief.mean[:, None])[:, 0] + d
    error = filled(datum.value, mean) - mean
    new = form.corrected(form.spread(belief), h, r, mask)
    after = form.belief(belief.mean + new.gain @ error, new.spread, belief.time)
    return choose(mask.any(), after, belief), gaussian_info(error, new.root, new.variance, mask, mean)


def predicted_info(evidence, error, mask, mean, variance, flags):
    """Info of a Gaussian prediction, from its log-density at the datum."""
    scale = jnp.sqrt(jnp.where(variance > 0, variance, 1.0))
    pit = jnp.where(mask, jax.scipy.special.ndtr(error / scale), jnp.nan)
    flags = (NOT_FINITE * ~jnp.isfinite(evidence) + flags).astype(jnp.int32)
    return Info(evidence, (mean, variance), pit, jnp.full((), jnp.nan, mean.dtype), flags)


def gaussian_info(error, root, variance, mask, mean):
    """Info of a prediction of the observed entries whose covariance has the lower factor `root`, with 1 where entries are
    missing."""
    evidence = jnp.where(mask.any(), masked_normal(error, root, mask), 0.0)
    lost = COVARIANCE_LOST * ~jnp.all(jnp.isfinite(root))
    return predicted_info(evidence, error, mask, mean, variance, lost)


def averaged_info(observation, places, weights, datum, bound):
    """Info of any density of the data, its prediction averaged over places of the state by their weights."""
    y, t, u = datum.value, datum.time, datum.inputs
    means, variances = jax.vmap(lambda x: observation.predicted(x, t, u))(places)
    mean = weights @ means
    variance = weights @ (variances + (means - mean) ** 2)
    pit = jnp.where(observed(y), weights @ jax.vmap(lambda x: observation.cdf(y, x, t, u))(places), jnp.nan)
    evidence = jnp.where(observed(y).any(), bound, 0.0)
    flags = (NOT_FINITE * ~jnp.isfinite(evidence)).astype(jnp.int32)
    return Info(evidence, (mean, variance), pit, jnp.full((), jnp.nan, mean.dtype), flags)


def finite_start(filter, problem):
    """The initial probabilities of finitely many states; TypeError for other models."""
    model, name = problem.resolve(), type(filter).__name__
    if not isinstance(model.transition, AbstractFinite):
        given = type(model.transition).__name__
        raise TypeError(f"transition: {name} needs MarkovChain or MarkovProcess, got {given}")
    law: Any = model.initial.distribution if isinstance(model.initial, Initial) else None
    if not getattr(law, "has_enumerate_support", False):
        raise TypeError(f"initial: {name} needs Initial of a law over the numbers of the states; use Categorical")
    states = law.enumerate_support()
    weights = law.log_prob(states)
    points, time = states[:, None].astype(weights.dtype), start_time(model.initial.time, weights.dtype)
    return strong(Particles(points, weights, time))


def finite_prediction(problem, belief, time, inputs):
    """P' w."""
    transition, size = problem.resolve().transition, belief.log_weights.shape[0]
    moved = transition.among(size, origin_of(belief.time, time), time, inputs)
    return Particles(belief.points, safe_log(belief.weights @ moved), time)


def finite_correction(problem, belief, datum):
    """w times the densities: (belief, Info)."""
    seen, (y, t, u) = problem.resolve().observation, (datum.value, datum.time, datum.inputs)

    def told(x):
        nothing = jnp.full((), jnp.nan, x.dtype)
        flags = jnp.zeros((), jnp.int32)
        return Info(seen.log_prob(y, x, t, u), seen.predicted(x, t, u), seen.cdf(y, x, t, u), nothing, flags)

    weights, info = weighed(belief.log_weights, jax.vmap(told)(belief.points), y)
    return Particles(belief.points, choose(observed(y).any(), weights, belief.log_weights), belief.time), info


def weighed(prior, infos, value):
    """(log-weights, Info of the mixture) once M filters, weighing exp(`prior`) before, all saw one datum. One that is not
    finite gets weight zero; predictions are those of the filters that make one, flags those of the filters that still weigh.
    """
    evidence = jnp.where(jnp.isfinite(infos.log_evidence), infos.log_evidence, -jnp.inf)
    weights, total = normalise(prior + evidence)
    share, (means, variances) = jnp.exp(prior), infos.predicted
    mean = mean_of_told(means, share)
    variance = mean_of_told(variances + (means - mean) ** 2, share)
    total = jnp.where(observed(value).any(), total, 0.0)
    raised = jax.lax.reduce_or(jnp.where(jnp.exp(weights) > 0, infos.flags, 0), axes=(0,)) | COLLAPSED * ~jnp.isfinite(total)
    info = Info(total, (mean, variance), mean_of_told(infos.pit, share), effective_size(weights), raised.astype(jnp.int32))
    return weights, info


def particle_info(belief, told, mask, evidence, weights):
    """Info of points that were weighed from the log-weights of `belief` to `weights`; `told` as in `Moved`."""
    means, variances, below = told
    prior = jnp.exp(normalise(belief.log_weights)[0])
    mean = mean_of_told(means, prior)
    variance = mean_of_told(variances + (means - mean) ** 2, prior)
    pit = jnp.where(mask, mean_of_told(below, prior), jnp.nan)
    lost = ~jnp.isfinite(belief.points).all()
    flags = jnp.asarray(COLLAPSED * ~jnp.isfinite(evidence) + OUT_OF_RANGE * lost, jnp.int32)
    return Info(evidence, (mean, variance), pit, effective_size(weights), flags)
