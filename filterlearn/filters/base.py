"""What the Gaussian filters share."""

import jax
import jax.numpy as jnp

from filterlearn.models.base import AbstractGaussianObservation, AbstractGaussianTransition, Diffuse, starting_gaussian
from filterlearn.numerics.densities import masked_normal
from filterlearn.numerics.masking import masked_covariance
from filterlearn.numerics.small import cholesky, lower_solve, product, symmetric, upper_solve
from filterlearn.protocol import COVARIANCE_LOST, NOT_FINITE, Info, strong


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
    return proper_start(model.initial)


def proper_start(initial):
    """The initial law by its moments; TypeError for a diffuse one."""
    if isinstance(initial, Diffuse):
        raise TypeError("initial: a diffuse start needs Kalman; give a Gaussian")
    return strong(starting_gaussian(initial))


def predicted_info(evidence, error, mask, mean, variance, flags):
    """Info of a Gaussian prediction, from its log-density at the datum."""
    scale = jnp.sqrt(jnp.where(variance > 0, variance, 1.0))
    pit = jnp.where(mask, jax.scipy.special.ndtr(error / scale), jnp.nan)
    flags = (NOT_FINITE * ~jnp.isfinite(evidence) + flags).astype(jnp.int32)
    return Info(evidence, (mean, variance), pit, jnp.full((), jnp.nan, mean.dtype), flags)


def gaussian_info(error, s, mask, mean):
    """Info of a prediction N(mean, S) of the observed entries; returns it with the factor of the masked S."""
    factor = cholesky(masked_covariance(s, mask))
    evidence = jnp.where(mask.any(), masked_normal(error, factor, mask), 0.0)
    lost = COVARIANCE_LOST * ~jnp.all(jnp.isfinite(factor))
    return predicted_info(evidence, error, mask, mean, jnp.diagonal(s), lost), factor


def correct(mean, covariance, h, error, s_factor, mask, r):
    """The Joseph-form update with masked rows of H: (mean, covariance)."""
    h = jnp.where(mask[:, None], h, 0.0)
    gain = upper_solve(s_factor, lower_solve(s_factor, product(h, covariance))).T
    left = jnp.eye(mean.shape[0], dtype=mean.dtype) - product(gain, h)
    both = mask[:, None] & mask[None, :]
    noise = product(product(gain, jnp.where(both, r, 0.0)), gain.T)
    new = symmetric(product(product(left, covariance), left.T) + noise)
    return mean + gain @ jnp.where(mask, error, 0.0), new
