"""What is believed of a family's parameters before the first datum."""

import abc
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
from jaxtyping import Array, Float
from numpyro.distributions.transforms import IndependentTransform, biject_to

_PILOT = 2001  # prior draws behind the unconstrained median and scale


class AbstractStart(eqx.Module):
    """A law of the unconstrained vector."""

    @property
    @abc.abstractmethod
    def mean(self) -> Float[Array, "p"]:
        """Its centre."""

    @property
    @abc.abstractmethod
    def variance(self) -> Float[Array, "p"]:
        """The variance of each entry."""

    @property
    @abc.abstractmethod
    def covariance(self) -> Float[Array, "p p"]:
        """Those of all pairs."""

    @abc.abstractmethod
    def sample(self, n: int, *, key) -> Float[Array, "n p"]:
        """`n` draws."""


class _FromPrior(AbstractStart):
    """The prior, its centre the median."""

    family: Any

    @property
    def mean(self):
        return self.family.median

    @property
    def variance(self):
        return self.family.sd**2

    @property
    def covariance(self):
        return jnp.diag(self.variance)

    def sample(self, n, *, key):
        return self.family.sample_prior(n, key=key)


class _FromDraws(AbstractStart):
    """Equally weighted draws `(n, p)`."""

    draws: Any

    @property
    def mean(self):
        return jnp.mean(self.draws, axis=0)

    @property
    def variance(self):
        return jnp.var(self.draws, axis=0)

    @property
    def covariance(self):
        apart = self.draws - self.mean
        return apart.T @ apart / len(apart)

    def sample(self, n, *, key):
        return jax.random.choice(key, self.draws, (n,), replace=n > len(self.draws))


def start_of(family, draws) -> AbstractStart:
    """The prior of a family, or draws of its vector."""
    return _FromPrior(family) if draws is None else _FromDraws(draws)


def checked_draws(draws, size, dtype):
    """Draws `(n, size)`, or an error that says how to make them so."""
    draws = jnp.asarray(draws, dtype)
    if draws.ndim != 2 or draws.shape[1] != size or len(draws) < 2:
        raise ValueError(f"draws: shape (n, {size}) with n > 1 is needed, got {draws.shape}")
    if not np.isfinite(draws).all():
        raise ValueError("draws: every entry must be finite; leave out the rows that are not")
    return draws


def entrywise(support) -> bool:
    """Whether the entries of a parameter are constrained one by one."""
    transform = biject_to(support)
    while isinstance(transform, IndependentTransform):
        transform = transform.base_transform
    return transform.domain.event_dim == transform.codomain.event_dim == 0


def unconstrained_draws(prior, n, key):
    """`n` draws of a parameter on the unconstrained scale, `(n, p)`."""
    return jnp.reshape(biject_to(prior.support).inv(prior.sample(key, (n,))), (n, -1))


def unconstrained_moments(prior, key):
    """Median and sd of a prior on the unconstrained scale."""
    if isinstance(prior, dist.Normal):
        return tuple(jnp.ravel(jnp.broadcast_to(part, prior.batch_shape)) for part in (prior.loc, prior.scale))
    draws = unconstrained_draws(prior, _PILOT, key)
    return jnp.median(draws, axis=0), jnp.std(draws, axis=0)
