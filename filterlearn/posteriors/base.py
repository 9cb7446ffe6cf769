"""What every sampler is given and gives back: the target density, the method, the sample statistics."""

import abc
import warnings
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from filterlearn.data import Dataset
from filterlearn.diagnostics.gradient import gradient_report
from filterlearn.learners.base import AbstractLearner
from filterlearn.models.family import ModelFamily
from filterlearn.models.gaps import Gaps, distinct_gaps
from filterlearn.protocol import AbstractAlgorithm, scan

# Parameters up to which tangents beat the adjoint. Measured, run time of tangents over adjoint: 1.0 at 2 (Kalman, extended),
# 0.7 at 4 (ensemble), 1.7 to 3.4 at 8; compilation 0.6.
_FORWARD = 4


class Target(eqx.Module):
    """log p(y_1..T | theta) + log p(theta) over the unconstrained vector, by the filter's one-step terms (Schweppe 1965,
    doi:10.1109/TIT.1965.1053737); -inf where a theta breaks the model.

    With a filter every parameter of the family is in theta, moving ones as static; with a learner the static ones are, and
    the learner filters the moving ones. Data and key are leaves: new data of the same shape do not retrace. As exact as the
    algorithm's evidence. Raises ValueError when a learner is left without moving, or theta without static parameters.
    """

    sampled: ModelFamily
    family: ModelFamily
    algorithm: AbstractAlgorithm
    data: Dataset
    gaps: Gaps
    key: Any

    def __init__(self, family, algorithm, data, key=None):
        self.family, self.algorithm, self.key = family, algorithm, key
        self.sampled = _static_part(family) if isinstance(algorithm, AbstractLearner) else family
        self.data = Dataset(data.times, data.values, data.inputs)  # without its calendar, which is static
        self.gaps = jax.tree.map(jnp.asarray, distinct_gaps(data.times))

    def problem(self, theta):
        """What the algorithm filters at theta."""
        if isinstance(self.algorithm, AbstractLearner):
            return self.family.hold(self.sampled.constrain(theta))
        return self.family(theta)

    def part(self, thetas: Float[Array, "n q"]) -> Float[Array, "n p"]:
        """The sampled parameters of vectors of the whole family."""

        def one(theta):
            values = self.family.constrain(theta)
            return self.sampled.unconstrain({name: values[name] for name in self.sampled.names})

        return thetas if self.sampled is self.family else jax.vmap(one)(thetas)

    def terms(self, theta: Float[Array, "p"], key=None) -> Float[Array, "T"]:
        """log p(y_k | y_1..k-1, theta), with the fixed key unless another is given."""
        own = self.key if key is None else key
        return scan(self.algorithm, self.problem(theta), self.data, self.gaps, own, lambda belief, info: info.log_evidence)[1]

    def __call__(self, theta: Float[Array, "p"], key=None) -> Float[Array, ""]:
        """The log density, with the fixed key unless another is given."""
        total = jnp.sum(self.terms(theta, key)) + self.sampled.log_prior(theta)
        return jnp.where(jnp.isfinite(total), total, -jnp.inf)


def _static_part(family):
    """The family of the static parameters, the moving ones held at their prior's median."""
    if not family.moving:
        raise ValueError("algorithm: a learner filters moving parameters, and the family has none; give the filter inside it")
    if set(family.moving) == set(family.names):
        raise ValueError("family: every parameter moves, so none is left to sample; `run` the learner instead")
    return family.hold({name: v for name, v in family.constrain(family.median).items() if name in family.moving})


def _by_tangents(density, theta):
    """Value and gradient, one tangent for each parameter."""
    values, slope = jax.vmap(lambda direction: jax.jvp(density, (theta,), (direction,)))(
        jnp.eye(theta.shape[0], dtype=theta.dtype)
    )
    return values[0], slope


@eqx.filter_custom_vjp
def log_density(theta: Float[Array, "p"], target: Any) -> Float[Array, ""]:
    """The target, or another density that is a module, at its fixed key, with a gradient that is finite everywhere: zero
    where the density or its slope is not.

    Forward mode up to 4 parameters, reverse mode above.
    """
    return target(theta)


@eqx.filter_jit  # a sampler asks at many places, and traces it once
def _differentiated(theta, target):
    differentiate = _by_tangents if theta.shape[0] <= _FORWARD else (lambda f, x: jax.value_and_grad(f)(x))
    value, slope = differentiate(target, theta)
    return value, jnp.where(jnp.all(jnp.isfinite(slope)) & jnp.isfinite(value), slope, 0.0)


@log_density.def_fwd
def _forward(perturbed, theta, target):
    return _differentiated(theta, target)


@log_density.def_bwd
def _backward(slope, cotangent, perturbed, theta, target):
    return cotangent * slope


TRIES = 32  # evaluations side by side: candidates for a start, or estimates at one; equal numbers share a compilation


@eqx.filter_jit
def levels(target: Target, thetas: Float[Array, "k p"], keys) -> Float[Array, "k"]:
    """The log density of each theta under the key beside it."""
    return jax.vmap(target)(thetas, keys)


def warn_of_noise(target: Target, theta: Float[Array, "p"]) -> None:
    """For a method that follows derivatives: warns, with the estimate, where those of an algorithm that draws random numbers
    are mostly noise at theta. One that draws none is not asked."""
    try:
        target.algorithm.init(target.problem(theta))
    except ValueError:  # it needs a key
        report = gradient_report(target.terms, theta, target.sampled.entries, target.key)
        if report.useless:
            warnings.warn(report.words, stacklevel=4)


class Drawn(NamedTuple):
    """What a method gives back: unconstrained draws `(chains, draws, p)`, sample statistics by name `(chains, draws)`, and
    what is known of the whole, by name: numbers, or arrays with one axis, such as the log evidence of each chain."""

    draws: Any
    statistics: dict[str, Any]
    attributes: dict[str, Any] = {}


class AbstractMethod(eqx.Module):
    """How draws are made from a target; a refit with data of the same shape compiles nothing."""

    chains: eqx.AbstractVar[int]

    @abc.abstractmethod
    def draw(self, target: Target, start, scale, *, key) -> Drawn:
        """Draws from the starting points `(chains, p)`, the most likely first; `scale` `(p,)` is a first guess of the
        posterior's standard deviations."""


def tree_depth(n_steps):
    """The depth of a no-U-turn tree of `n_steps` leapfrog steps: between 2^(d - 1) and 2^d - 1 of them."""
    return jnp.floor(jnp.log2(jnp.maximum(n_steps, 1))).astype(jnp.int32) + 1
