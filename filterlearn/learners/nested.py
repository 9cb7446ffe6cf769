"""Parameter particles, each with a filter of its own inside."""

import abc
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp

from filterlearn.beliefs.joint import NestedBelief
from filterlearn.beliefs.particles import Particles, weighted_covariance
from filterlearn.clock import whole
from filterlearn.filters.base import weighed
from filterlearn.learners.base import AbstractLearner, forgotten
from filterlearn.models.family import ModelFamily
from filterlearn.numerics.masking import choose, observed
from filterlearn.numerics.small import semidefinite_factor, spread
from filterlearn.protocol import AbstractAlgorithm, needed, origin_of, strong
from filterlearn.resamplers.systematic import Systematic


class AbstractMove(eqx.Module):
    """What keeps the parameter particles apart after they were resampled."""

    @abc.abstractmethod
    def move(self, thetas, log_weights, index, prior_sd, *, key):
        """New thetas `(M, p)` for the ancestors `index`, given the weighted sample before resampling."""


class Jitter(AbstractMove):
    """Adds scale x prior sd x N(0, I): keeps static parameters alive at the price of a bias of that order (Crisan & Miguez
    2018, doi:10.3150/17-BEJ954)."""

    scale: Any = 0.05

    def move(self, thetas, log_weights, index, prior_sd, *, key):
        """The ancestors plus noise."""
        return thetas[index] + self.scale * prior_sd * jax.random.normal(key, thetas.shape, thetas.dtype)


class LiuWest(AbstractMove):
    """Shrinks to the mean and adds noise, so that mean and covariance stay: a = (3 d - 1) / (2 d) for a discount d (Liu &
    West 2001, doi:10.1007/978-1-4757-3437-9_10). `floor`, in prior sds, is the least noise in each direction: without it the
    spread of static parameters freezes."""

    discount: Any = 0.98
    floor: Any = 0.0

    def move(self, thetas, log_weights, index, prior_sd, *, key):
        """a theta + (1 - a) mean + sqrt(1 - a^2) L z."""
        a = (3 * self.discount - 1) / (2 * self.discount)
        weights = jnp.exp(log_weights)
        factor = jnp.sqrt(1 - a**2) * semidefinite_factor(weighted_covariance(thetas, weights))
        noise = jax.random.normal(key, (2, *thetas.shape), thetas.dtype)
        low = self.floor * prior_sd
        lacking = jnp.sqrt(jnp.maximum(low**2 - jnp.sum(factor**2, axis=1), 0.0))
        return a * thetas[index] + (1 - a) * (weights @ thetas) + noise[0] @ factor.T + lacking * noise[1]


class Nested(AbstractLearner):
    """`size` parameter particles, each carrying the belief of the filter inside; weighted by that filter's evidence and
    resampled below `threshold` of full effective size (Crisan & Miguez 2018, doi:10.3150/17-BEJ954).

    With moving parameters and an exact filter inside: consistent as size grows (a Rao-Blackwellised particle filter). For
    static parameters `move` keeps the particles apart and biases their spread: `Jitter` or `LiuWest`; with neither (None)
    they degenerate. The evidence increment estimates log p(y_k | y_1..k-1).

    Parameters under which the filter inside is not finite get weight zero and touch nothing else; the flags of the filters
    that still weigh are raised.
    """

    filter: AbstractAlgorithm
    size: int = eqx.field(static=True)
    move: AbstractMove | None = LiuWest(0.98, 0.02)
    threshold: Any = 0.5

    def __check_init__(self):
        whole("size", self.size, 2)
        if not isinstance(self.filter, AbstractAlgorithm):
            raise TypeError(f"filter: an algorithm is needed, got {type(self.filter).__name__}")

    def init(self, problem, *, key=None):
        """Parameters from the prior, and the filter's start under each."""
        if not isinstance(problem, ModelFamily):
            raise TypeError(f"problem: a learner needs a ModelFamily, got {type(problem).__name__}")
        first, second = jax.random.split(needed(key))
        thetas = problem.sample_prior(self.size, key=first)
        inner = jax.vmap(lambda th, k: strong(self.filter.init(problem(th), key=k)))(
            thetas, jax.random.split(second, self.size)
        )
        weights = jnp.full(self.size, -jnp.log(self.size), thetas.dtype)
        return strong(NestedBelief(Particles(thetas, weights, inner.time[0]), inner, inner.time[0]))

    def predict(self, problem, belief, time, inputs=None, *, key=None):
        """Parameters moved by their laws, then each filter's prediction."""
        thetas, second = self._moved(problem, belief, time, key)
        inner = jax.vmap(lambda th, b, k: self.filter.predict(problem(th), b, time, inputs, key=k))(
            thetas, belief.inner, jax.random.split(second, self.size)
        )
        return NestedBelief(Particles(thetas, belief.parameters.log_weights, time), inner, time)

    def _moved(self, problem, belief, time, key):
        """The parameters at the later time, and a key for the filters inside."""
        first, second = jax.random.split(needed(key))
        gap = time - origin_of(belief.time, time)
        thetas = forgotten(problem, belief.parameters, time, key=key).points
        noise = jax.random.normal(first, thetas.shape, thetas.dtype)

        def moved(theta, z):
            mean, factor = problem.motion(theta, gap)
            return mean + spread(factor, z)

        return jax.vmap(moved)(thetas, noise), second

    def update(self, problem, belief, datum, *, key=None):
        """Each filter's update; its evidence weighs its parameters."""
        first, *rest = jax.random.split(needed(key), 3)
        inner, infos = jax.vmap(lambda th, b, k: self.filter.update(problem(th), b, datum, key=k))(
            belief.parameters.points, belief.inner, jax.random.split(first, self.size)
        )
        return self._weighed(problem, belief, inner, infos, datum, rest)

    def step(self, problem, belief, datum, *, keys):
        """Parameters moved, then the step of the filter inside under each, with the keys that the two verbs would take."""
        thetas, second = self._moved(problem, belief, datum.time, keys[0])
        first, *rest = jax.random.split(needed(keys[1]), 3)
        both = jax.random.split(second, self.size), jax.random.split(first, self.size)
        inner, infos = jax.vmap(lambda th, b, k: self.filter.step(problem(th), b, datum, keys=k))(thetas, belief.inner, both)
        before = NestedBelief(Particles(thetas, belief.parameters.log_weights, datum.time), inner, datum.time)
        return self._weighed(problem, before, inner, infos, datum, rest)

    def _weighed(self, problem, belief, inner, infos, datum, keys):
        """(belief, Info) from what each filter says."""
        thetas, prior, (second, third) = belief.parameters.points, belief.parameters.log_weights, keys
        weights, info = weighed(prior, infos, datum.value)
        index = Systematic().ancestors(weights, key=second)

        def renewed():
            kept = jax.tree.map(lambda leaf: leaf[index], inner)
            moved = thetas[index] if self.move is None else self.move.move(thetas, weights, index, problem.sd, key=third)
            return moved.astype(thetas.dtype), jnp.full_like(weights, -jnp.log(self.size)), kept

        new = jax.lax.cond(info.ess < self.threshold * self.size, renewed, lambda: (thetas, weights, inner))
        thetas, weights, inner = choose(observed(datum.value).any(), new, (thetas, prior, belief.inner))
        return NestedBelief(Particles(thetas, weights, belief.time), inner, belief.time), info
