"""A family of models: parameters with priors and motion, and the function that builds a model from their values."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpyro.distributions as dist
from numpyro.distributions.transforms import biject_to

from filterlearn.models.base import StateSpaceModel
from filterlearn.models.parameter_dynamics.base import AbstractDynamics
from filterlearn.models.parameter_dynamics.static import Static

_PILOT = 2001  # prior draws behind the unconstrained median and scale


class Parameter(eqx.Module):
    """A prior (a numpyro law, whose support is the constraint) and a law of motion on the unconstrained scale."""

    prior: Any
    dynamics: AbstractDynamics = Static()

    def __check_init__(self):
        if not isinstance(self.prior, dist.Distribution):
            raise TypeError(f"prior: a numpyro distribution is needed, got {type(self.prior).__name__}")
        if self.prior.support.is_discrete:
            raise TypeError("prior: a continuous law is needed; mix over discrete parameters outside the family")
        if not isinstance(self.dynamics, AbstractDynamics):
            raise TypeError(f"dynamics: Static, RandomWalk or OrnsteinUhlenbeck is needed, got {self.dynamics!r}")


class ModelFamily(eqx.Module):
    """`build(values: dict) -> StateSpaceModel` over named parameters.

    theta is the flat unconstrained vector, ordered by sorted name then C order. `family(theta)` is lazy: a pytree that
    holds theta and builds inside the trace, so that changing theta never retraces.
    """

    build: Callable = eqx.field(static=True)
    parameters: dict[str, Parameter]
    median: Any
    sd: Any

    def __init__(self, build, parameters):
        if not callable(build):
            raise TypeError(f"build: a function of the values is needed, got {type(build).__name__}")
        if not parameters:
            raise ValueError("parameters: at least one is needed; a model without any is a StateSpaceModel")
        for name, given in parameters.items():
            if not isinstance(given, Parameter):
                raise TypeError(f"parameters[{name!r}]: a Parameter is needed, got {type(given).__name__}")
        self.build, self.parameters = build, {name: parameters[name] for name in sorted(parameters)}
        self.median, self.sd = self._pilot()

    def _pilot(self):
        """The prior's median and sd on the unconstrained scale: exact for normal laws, others by 2,001 draws."""
        draws = self.sample_prior(_PILOT, key=jax.random.key(0))
        median, sd = jnp.median(draws, axis=0), jnp.std(draws, axis=0)
        for _, p, index in self._pieces(jnp.arange(self.size)):
            if isinstance(p.prior, dist.Normal):
                median = median.at[index.ravel()].set(jnp.ravel(p.prior.loc * jnp.ones(index.shape)))
                sd = sd.at[index.ravel()].set(jnp.ravel(p.prior.scale * jnp.ones(index.shape)))
        return median, sd

    @property
    def names(self) -> tuple[str, ...]:
        """Sorted parameter names."""
        return tuple(self.parameters)

    def _shapes(self):
        return {name: biject_to(p.prior.support).inverse_shape(p.prior.shape()) for name, p in self.parameters.items()}

    @property
    def size(self) -> int:
        """Length of theta."""
        return sum(math.prod(s) for s in self._shapes().values())

    def _pieces(self, theta):
        start = 0
        for name, shape in self._shapes().items():
            stop = start + math.prod(shape)
            yield name, self.parameters[name], theta[start:stop].reshape(shape)
            start = stop

    def constrain(self, theta) -> dict:
        """Named values from the unconstrained vector."""
        return {name: biject_to(p.prior.support)(piece) for name, p, piece in self._pieces(theta)}

    def unconstrain(self, values: dict):
        """The unconstrained vector from named values."""
        if missing := set(self.names) ^ set(values):
            raise ValueError(f"values: exactly the names {list(self.names)} are needed, {sorted(missing)} do not match")
        inverses = [biject_to(p.prior.support).inv(jnp.asarray(values[n])) for n, p in self.parameters.items()]
        return jnp.concatenate([jnp.ravel(piece) for piece in inverses])

    def log_prior(self, theta):
        """Log prior density of theta, the Jacobian included."""
        total = jnp.zeros((), theta.dtype)
        for _, p, piece in self._pieces(theta):
            transform = biject_to(p.prior.support)
            value = transform(piece)
            total += jnp.sum(p.prior.log_prob(value)) + jnp.sum(transform.log_abs_det_jacobian(piece, value))
        return total

    def sample_prior(self, n: int, *, key):
        """`n` draws of theta from the prior, `(n, size)`."""
        keys = jax.random.split(key, len(self.parameters))
        draws = [
            jnp.reshape(biject_to(p.prior.support).inv(p.prior.sample(k, (n,))), (n, -1))
            for k, p in zip(keys, self.parameters.values(), strict=True)
        ]
        return jnp.concatenate(draws, axis=1)

    def motion(self, theta, gap):
        """Mean and standard deviation of theta after a gap."""
        parts = [
            p.dynamics.moments(piece.ravel(), gap, middle.ravel())
            for (_, p, piece), (_, _, middle) in zip(self._pieces(theta), self._pieces(self.median), strict=True)
        ]
        return jnp.concatenate([m for m, _ in parts]), jnp.concatenate([s for _, s in parts])

    def __call__(self, theta) -> BoundFamily:
        """The member of the family at theta."""
        return BoundFamily(self, jnp.asarray(theta))

    def resolve(self):
        """Refused: a family is not a model."""
        raise TypeError("problem: a filter needs a model; give family(theta), or put a learner around the filter")


class BoundFamily(eqx.Module):
    """A family at a parameter vector; the model is built inside the trace."""

    family: ModelFamily
    theta: Any

    def resolve(self) -> StateSpaceModel:
        """The model at theta."""
        return self.family.build(self.family.constrain(self.theta))
