"""Parameter particles, each with a filter of its own inside."""

import dataclasses
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp

from filterlearn.beliefs.joint import NestedBelief
from filterlearn.beliefs.particles import Particles
from filterlearn.clock import whole
from filterlearn.filters.base import weighed
from filterlearn.learners.base import AbstractLearner, check_family, forgotten, released
from filterlearn.moves.base import AbstractMove
from filterlearn.moves.liu_west import LiuWest
from filterlearn.numerics.masking import choose, observed
from filterlearn.protocol import NOISY, AbstractAlgorithm, needed, origin_of, same, strong
from filterlearn.resamplers.systematic import Systematic


class _Copied(AbstractMove):
    """No move: the ancestors as they are."""

    def moved(self, filter, problem, belief, index, *, key):
        return belief.chosen(index)


_COPIED = _Copied()


def _doubled(filter, flags):
    """The filter, or the one that it wraps, with twice its size, where its evidence is noisy; itself where it has none."""
    names = {field.name for field in dataclasses.fields(filter)}
    if not flags & NOISY or not names & {"size", "filter"}:
        return filter
    if "size" in names:
        return dataclasses.replace(filter, size=2 * filter.size)
    inside = _doubled(filter.filter, flags)
    return filter if inside is filter.filter else dataclasses.replace(filter, filter=inside)


class Nested(AbstractLearner):
    """`size` parameter particles, each carrying the belief of the filter inside; weighted by that filter's evidence and
    resampled below `threshold` of full effective size (Crisan & Miguez 2018, doi:10.3150/17-BEJ954).

    With moving parameters and an exact filter inside: consistent as size grows (a Rao-Blackwellised particle filter). For
    static parameters `move` keeps the particles apart: `Jitter` or `LiuWest`, which bias their spread, or `Rejuvenation`,
    which is consistent and filters the data so far again at each resampling; with none of them (None) they degenerate. The
    evidence increment estimates log p(y_k | y_1..k-1).

    Where `Rejuvenation` finds the evidence of the filter inside too noisy, or its buffer full, a `Session` doubles the
    filter's size or the buffer.

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

    @property
    def _move(self) -> AbstractMove:
        return _COPIED if self.move is None else self.move

    def init(self, problem, *, key=None):
        """Parameters from the prior, or the draws of `started`, and the filter's start under each."""
        check_family(problem)
        first, second = jax.random.split(needed(key))
        thetas = problem.start.sample(self.size, key=first)
        inner = jax.vmap(lambda th, k: strong(self.filter.init(problem(th), key=k)))(
            thetas, jax.random.split(second, self.size)
        )
        weights = jnp.full(self.size, -jnp.log(self.size), thetas.dtype)
        belief = NestedBelief(Particles(thetas, weights, inner.time[0]), inner, inner.time[0])
        return strong(self._move.begun(self.filter, problem, belief))

    def predict(self, problem, belief, time, inputs=None, *, key=None):
        """Parameters moved by their laws, then each filter's prediction."""
        thetas, second = self._moved(problem, belief, time, key)
        inner = jax.vmap(lambda th, b, k: self.filter.predict(problem(th), b, time, inputs, key=k))(
            thetas, belief.inner, jax.random.split(second, self.size)
        )
        return self._reached(belief, thetas, inner, time, inputs)

    def _reached(self, belief, thetas, inner, time, inputs):
        """The belief at a later time."""
        record = self._move.reached(belief.record, belief.time, time, inputs)
        return NestedBelief(Particles(thetas, belief.parameters.log_weights, time), inner, time, record)

    def larger(self, flags):
        """Twice the points of the filter inside, or twice the room of the move's record."""
        filter, move = _doubled(self.filter, flags), self._move.larger(flags)
        if filter is self.filter and move is self._move:
            return self
        return dataclasses.replace(self, filter=filter, move=move)

    def enlarged(self, problem, belief, flags, *, key=None):
        """As the move says."""
        return self._move.enlarged(self.filter, problem, belief, flags, key=needed(key))

    def _moved(self, problem, belief, time, key):
        """The parameters at the later time, and a key for the filters inside."""
        first, second = jax.random.split(needed(key))
        gap = time - origin_of(belief.time, time)
        thetas = forgotten(problem, belief.parameters, time, key=key).points
        noise = jax.random.normal(first, (self.size, problem.size + problem.chances), thetas.dtype)
        return jax.vmap(lambda theta, z: problem.moved(theta, gap, z))(thetas, noise), second

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
        before = self._reached(belief, thetas, inner, datum.time, datum.inputs)
        return self._weighed(problem, before, inner, infos, datum, rest)

    def _weighed(self, problem, belief, inner, infos, datum, keys):
        """(belief, Info) from what each filter says."""
        cloud, (second, third), seen = belief.parameters, keys, observed(datum.value).any()
        weights, info = weighed(cloud.log_weights, infos, datum.value)
        record = self._move.told(belief.record, datum, infos.log_evidence)
        weights = jnp.where(seen, weights, cloud.log_weights)
        inner = choose(seen, inner, belief.inner)
        told = NestedBelief(Particles(cloud.points, weights, cloud.time), inner, belief.time, record)

        def renewed():
            index = Systematic().ancestors(weights, key=second)
            return same(told, self._move.moved(self.filter, problem, told, index, key=third))

        after = jax.lax.cond(seen & (info.ess < self.threshold * self.size), renewed, lambda: told)
        return after, eqx.tree_at(lambda i: i.flags, info, info.flags | self._move.flags(after.record))

    def widened(self, problem, belief, kept, *, key=None):
        """Each filter inside keeps its belief about the state. Refused by name with `Rejuvenation`: its particles stay."""
        if belief.record is not None:
            raise TypeError(f"move: {type(self._move).__name__} is for parameters that stay; take Jitter, LiuWest or None")
        return eqx.tree_at(lambda b: b.parameters, belief, released(problem, belief.parameters, kept, key=key))
