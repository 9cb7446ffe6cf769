"""Parameters and state known together."""

import abc
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from filterlearn.beliefs.base import AbstractBelief, AbstractForwarding, AbstractWeighted
from filterlearn.beliefs.ensemble import Ensemble
from filterlearn.beliefs.gaussian import AbstractGaussianBelief, Gaussian
from filterlearn.beliefs.mixture import mixed
from filterlearn.beliefs.particles import Particles, drawn_by_weight


class AbstractJointBelief(AbstractForwarding):
    """A learner's belief: `.parameters` on the unconstrained scale, `.state`; mean and covariance are the state's."""

    parameters: eqx.AbstractVar[Any]
    state: eqx.AbstractVar[Any]

    @abc.abstractmethod
    def sample_both(self, n: int, *, key):
        """`n` joint draws: states `(n, dimension)` and unconstrained parameters `(n, p)`."""

    @property
    def about(self) -> AbstractBelief:
        """The state."""
        return self.state


def block(belief: AbstractBelief, part: slice) -> AbstractBelief:
    """The marginal belief about a block of coordinates."""
    if isinstance(belief, AbstractGaussianBelief):
        return belief.marginal(part)
    if isinstance(belief, Ensemble):
        return Ensemble(belief.members[:, part], belief.time)
    if isinstance(belief, Particles):
        return Particles(belief.points[:, part], belief.log_weights, belief.time)
    raise TypeError(f"belief: Gaussian, Ensemble or Particles is needed, got {type(belief).__name__}")


class JointBelief(AbstractJointBelief):
    """One belief over the stacked vector (state, parameters); the first `split` coordinates are the state."""

    stacked: AbstractBelief
    split: int = eqx.field(static=True)

    @property
    def time(self) -> Any:
        """Time of the belief."""
        return self.stacked.time

    @property
    def parameters(self) -> AbstractBelief:
        """The parameter block, unconstrained."""
        return block(self.stacked, slice(self.split, None))

    @property
    def state(self) -> AbstractBelief:
        """The state block."""
        return block(self.stacked, slice(0, self.split))

    def sample_both(self, n: int, *, key):
        """Draws of the stacked vector, split."""
        draws = self.stacked.sample(n, key=key)
        return draws[:, : self.split], draws[:, self.split :]


def pooled(members: AbstractBelief, log_weights, time) -> AbstractBelief:
    """The mixture of M beliefs stacked on their first axis: pooled particles when they are samples, else the Gaussian with
    the moments of the mixture. What a member of weight zero says does not count."""
    if isinstance(members, Particles | Ensemble):
        points = members.points if isinstance(members, Particles) else members.members
        n = points.shape[1]
        own = members.log_weights if isinstance(members, Particles) else jnp.full((1, n), -jnp.log(n), points.dtype)
        return Particles(points.reshape(-1, points.shape[-1]), (log_weights[:, None] + own).reshape(-1), time)
    return Gaussian.of(*mixed(members, log_weights), time)


class NestedBelief(AbstractJointBelief):
    """Parameter particles `(M, p)`, each with its own belief about the state (leading axis M). A particle of weight zero does
    not count, whatever became of its belief. `record` is what the move of the particles keeps beside them, or None."""

    parameters: Particles
    inner: AbstractBelief
    time: Any
    record: Any = None

    @property
    def state(self) -> AbstractBelief:
        """The mixture of the inner beliefs: pooled particles when they are samples, else their Gaussian by moments."""
        return pooled(self.inner, self.parameters.log_weights, self.time)

    def sample_both(self, n: int, *, key):
        """A parameter particle by weight, then a state from its own belief."""
        first, second = jax.random.split(key)
        index = drawn_by_weight(self.parameters.log_weights, n, first)
        inner = jax.tree.map(lambda leaf: leaf[index], self.inner)
        states = jax.vmap(lambda b, k: b.sample(1, key=k)[0])(inner, jax.random.split(second, n))
        return states, self.parameters.points[index]

    def chosen(self, index) -> "NestedBelief":
        """The particles with these indices, equally weighted."""
        cloud, inner = self.parameters, jax.tree.map(lambda leaf: leaf[index], self.inner)
        weights = jnp.full_like(cloud.log_weights, -jnp.log(cloud.log_weights.shape[0]))
        particles = Particles(cloud.points[index], weights, cloud.time)
        record = None if self.record is None else self.record.chosen(index)
        return NestedBelief(time=self.time, parameters=particles, inner=inner, record=record)


class AbstractEstimate(AbstractJointBelief):
    """A point estimate of the parameters with its covariance, and the belief about the state at that point. State and
    parameters are drawn independently."""

    parameters: eqx.AbstractVar[AbstractBelief]

    @property
    def time(self) -> Any:
        """Time of the belief."""
        return self.state.time

    def sample_both(self, n: int, *, key):
        """Independent draws."""
        first, second = jax.random.split(key)
        return self.state.sample(n, key=first), self.parameters.sample(n, key=second)


class TangentBelief(AbstractEstimate):
    """An estimate, and what tells its score: the derivative of the belief about the state, `tangent` having the leaves of
    `state` with a row for each entry of theta before them, or for particles the mean score of the paths that end in each,
    `(N, p)`."""

    parameters: AbstractBelief
    state: AbstractBelief
    tangent: Any
    optimiser: Any


class RecollectingBelief(AbstractEstimate):
    """An estimate, and what its learner keeps of the past: functions of the present state, of a fixed size."""

    parameters: AbstractBelief
    state: AbstractBelief
    past: Any


class BankBelief(AbstractJointBelief, AbstractWeighted):
    """Several learners' beliefs, stacked on their first axis, and the logarithms of their weights `(K,)`. A member of weight
    zero does not count, whatever became of its belief."""

    members: AbstractJointBelief
    log_weights: Float[Array, "K"]
    time: Any

    @property
    def parameters(self) -> AbstractBelief:
        """The mixture of the members' parameters: pooled particles, or the Gaussian with its moments."""
        return pooled(jax.vmap(lambda b: b.parameters)(self.members), self.log_weights, self.time)

    @property
    def state(self) -> AbstractBelief:
        """The mixture of the members' states."""
        return pooled(jax.vmap(lambda b: b.state)(self.members), self.log_weights, self.time)

    def sample_both(self, n: int, *, key):
        """Draws from a member by weight."""
        first, second = jax.random.split(key)
        index = drawn_by_weight(self.log_weights, n, first)
        chosen = jax.tree.map(lambda leaf: leaf[index], self.members)
        states, thetas = jax.vmap(lambda b, k: b.sample_both(1, key=k))(chosen, jax.random.split(second, n))
        return states[:, 0], thetas[:, 0]


class MonitoredBelief(AbstractJointBelief):
    """What a learner knows, and the logarithms of a monitor's wagers against it."""

    inside: AbstractJointBelief
    wagers: Float[Array, "3"]

    @property
    def time(self) -> Any:
        """Time of the belief."""
        return self.inside.time

    @property
    def parameters(self) -> AbstractBelief:
        """The learner's parameters."""
        return self.inside.parameters

    @property
    def state(self) -> AbstractBelief:
        """The learner's state."""
        return self.inside.state

    def sample_both(self, n: int, *, key):
        """The learner's draws."""
        return self.inside.sample_both(n, key=key)
