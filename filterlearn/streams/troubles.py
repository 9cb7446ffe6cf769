"""What becomes of a stream whose belief was lost or has collapsed."""

import abc
from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp

from filterlearn.beliefs.base import AbstractBelief
from filterlearn.beliefs.joint import JointBelief
from filterlearn.numerics.small import semidefinite_factor


class Trouble(NamedTuple):
    """What happened: the datum's number and time, the flags in words, the last good `belief`, `begun()`, the belief before
    any datum predicted to this time, and a key."""

    count: int
    time: float
    words: tuple[str, ...]
    belief: Any
    begun: Callable[[], AbstractBelief]
    key: Any


class AbstractPolicy(eqx.Module):
    """What becomes of the belief after a datum that was flagged `not finite`, `covariance lost` or `weights collapsed`."""

    def check(self, belief) -> None:
        """Raises TypeError for a kind of belief that the policy has no answer for."""

    @abc.abstractmethod
    def mended(self, trouble: Trouble) -> AbstractBelief:
        """The belief that the stream goes on with."""


class KeepLast(AbstractPolicy):
    """The last good belief goes on."""

    def mended(self, trouble):
        """As it is."""
        return trouble.belief


class Restart(AbstractPolicy):
    """The belief before any datum, predicted to now: all that was learned is let go."""

    def mended(self, trouble):
        """Begun anew."""
        return trouble.begun()


class Widen(AbstractPolicy):
    """The last good belief with its covariance times `factor`, for a learner that of parameters and state together.

    For Gaussian beliefs, ensembles and particles, alone or in `Joint`; others raise TypeError. Raises ValueError for a
    factor that is not above 1.
    """

    factor: float

    def __check_init__(self):
        if not self.factor > 1:
            raise ValueError(f"factor: a number above 1 is needed, got {self.factor}")

    def check(self, belief):
        """Refuses what cannot be mapped."""
        jax.eval_shape(self._widened, belief, jax.random.key(0))

    def _widened(self, belief, key):
        if isinstance(belief, JointBelief):
            return eqx.tree_at(lambda b: b.stacked, belief, self._widened(belief.stacked, key))
        eye = jnp.eye(belief.mean.shape[0], dtype=belief.mean.dtype)
        wide = semidefinite_factor(belief.covariance) * jnp.sqrt(self.factor - 1)
        return belief.mapped(eye, jnp.zeros_like(belief.mean), wide, key=key)

    def mended(self, trouble):
        """x + e, e of covariance (factor - 1) P."""
        wide = self._widened(trouble.belief, trouble.key)
        return jax.tree.map(lambda new, old: jnp.asarray(new, old.dtype), wide, trouble.belief)


class Stop(AbstractPolicy):
    """The stream ends with an error."""

    def mended(self, trouble):
        """Raises FloatingPointError naming the datum, its time and the flags."""
        raise FloatingPointError(f"belief: {', '.join(trouble.words)} at datum {trouble.count}, time {trouble.time:g}")
