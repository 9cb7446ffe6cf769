"""What every belief offers: when, where, how sure, and draws."""

import abc
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


class AbstractBelief(eqx.Module):
    """What is known at one time. `.time` is -inf before the first datum: nothing is propagated to it."""

    time: eqx.AbstractVar[Any]
    mean: eqx.AbstractVar[Any]
    covariance: eqx.AbstractVar[Any]

    @abc.abstractmethod
    def sample(self, n: int, *, key) -> Float[Array, "k n"]:
        """`n` draws, `(n, dimension)`."""

    @abc.abstractmethod
    def quantile(self, q) -> Float[Array, "*q n"]:
        """Marginal quantiles at `q`, `(..., dimension)`."""

    def fresh(self, share: Float[Array, "f"]) -> Float[Array, "f"]:
        """How much of a share that is forgotten is drawn afresh: none, where no two points are copies of each other."""
        return jnp.zeros_like(share)

    def mapped(self, matrix: Float[Array, "k n"], offset: Float[Array, "k"], factor: Float[Array, "k f"], *, key):
        """The belief about A x + b + L e, e ~ N(0, I). Raises TypeError where a belief has no such map."""
        raise TypeError(f"belief: a Gaussian, an Ensemble or Particles can be mapped, got {type(self).__name__}")


class AbstractWeighted(AbstractBelief):
    """A belief of parts stacked on their first axis, with the logarithms of their normalised weights."""

    log_weights: eqx.AbstractVar[Any]

    @property
    def weights(self) -> Float[Array, "K"]:
        """Normalised weights."""
        return jnp.exp(self.log_weights)


class AbstractForwarding(AbstractBelief):
    """A belief whose moments and draws are those of another, `about`."""

    @property
    @abc.abstractmethod
    def about(self) -> AbstractBelief:
        """The belief that is asked."""

    @property
    def mean(self) -> Float[Array, "n"]:
        """Mean of `about`."""
        return self.about.mean

    @property
    def covariance(self) -> Float[Array, "n n"]:
        """Covariance of `about`."""
        return self.about.covariance

    def sample(self, n: int, *, key) -> Float[Array, "k n"]:
        """Draws of `about`."""
        return self.about.sample(n, key=key)

    def quantile(self, q) -> Float[Array, "*q n"]:
        """Quantiles of `about`."""
        return self.about.quantile(q)


class AbstractHistory(AbstractForwarding):
    """The belief `now`, with something of the past beside it."""

    now: eqx.AbstractVar[Any]

    @property
    def time(self) -> Any:
        """Time of the belief now."""
        return self.now.time

    @property
    def about(self) -> AbstractBelief:
        """The belief now."""
        return self.now


def present(belief: AbstractBelief) -> AbstractBelief:
    """The belief without what is kept of the past."""
    return belief.now if isinstance(belief, AbstractHistory) else belief


class AbstractSeries(eqx.Module):
    """Beliefs with time on their first axis, whose moments are taken one by one."""

    beliefs: eqx.AbstractVar[Any]

    @property
    def mean(self) -> Float[Array, "T n"]:
        """Means, `(T, n)`."""
        return jax.lax.map(lambda belief: belief.mean, self.beliefs)

    @property
    def covariance(self) -> Float[Array, "T n n"]:
        """Covariances, `(T, n, n)`."""
        return jax.lax.map(lambda belief: belief.covariance, self.beliefs)


def start_time(time, dtype):
    """A belief's clock: `None` means the time of the first datum, stored as -inf."""
    return jnp.asarray(-jnp.inf if time is None else time, dtype)
