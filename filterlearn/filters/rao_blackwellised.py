"""The Rao-Blackwellised particle filter."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from filterlearn.beliefs.gaussian import AbstractGaussianBelief
from filterlearn.beliefs.mixture import Mixture, labelled, unlabelled
from filterlearn.clock import whole
from filterlearn.filters.base import weighed
from filterlearn.models.base import AbstractJumping, StateSpaceModel
from filterlearn.models.jumps import count_chances, every_count
from filterlearn.models.transitions.switched import Switched, by_regime
from filterlearn.numerics.densities import safe_log
from filterlearn.numerics.masking import choose, observed
from filterlearn.numerics.sampling import spread_uniforms
from filterlearn.protocol import AbstractAlgorithm, needed, origin_of, strong
from filterlearn.resamplers.adaptive import Adaptive
from filterlearn.resamplers.base import AbstractIndexResampler, AbstractResampler
from filterlearn.resamplers.soft import Soft
from filterlearn.resamplers.stop_gradient import StopGradient
from filterlearn.resamplers.systematic import Systematic

_NOTHING = -1e3  # a log-weight below it is never drawn


class RaoBlackwellised(AbstractAlgorithm):
    """`size` histories of what makes a model conditionally linear, drawn, each with the belief of `filter`, a Gaussian one,
    about the rest (Doucet, de Freitas, Murphy & Russell 2000, arXiv:1301.3853; Chen & Liu 2000,
    doi:10.1111/1467-9868.00246).

    Drawn are the regimes of `Switched`, or the numbers and times of the jumps of a scheme with `CompoundPoisson`; x given
    the regimes, and the marks of the jumps, are the filter's. Each history branches over all regimes, or all numbers of
    jumps at times drawn for it; a datum weighs the branches; before the next gap the histories are resampled, and each
    copy takes one of its branches by weight: the locally optimal choice. The belief is a `Mixture` of all branches, `size`
    times their number, whose labels are the regime or the numbers of jumps since the datum before:
    `belief.probability(lambda jumps: jumps[0] > 0)`.

    Consistent, and exp(total log evidence) unbiased, for the model that the filter is exact for: `Kalman` inside, with
    `LinearSDE` Normal marks, at most `most` jumps of each kind. In other schemes, with `ExtendedKalman` or `SigmaPoint`, a
    jump is in the substep of its time. Biased by the filter inside, by marks that are not Normal, and by an intensity that is
    a function, which is read at the mean.

    `resampler` copies: `Systematic()` or its like, in `Adaptive`, `StopGradient` or `Soft`; it sees what the datum says of
    all branches, so that resampling at every datum costs little. The derivative of the evidence is biased unless the
    resampler carries it (`StopGradient`); the choice of the branches carries its own.
    """

    filter: AbstractAlgorithm
    size: int = eqx.field(static=True)
    resampler: AbstractResampler = Systematic()

    def __check_init__(self):
        whole("size", self.size, 2)
        if not isinstance(self.filter, AbstractAlgorithm):
            raise TypeError(f"filter: a Gaussian filter is needed, got {type(self.filter).__name__}")
        inside = self.resampler.resampler if isinstance(self.resampler, Adaptive) else self.resampler
        if not isinstance(inside, AbstractIndexResampler | StopGradient | Soft):
            raise TypeError(f"resampler: one that copies is needed, such as Systematic(), got {type(inside).__name__}")

    def init(self, problem, *, key=None):
        """The filter's start, in every history. A key is asked for, as by all that draw; the first gap is to use it."""
        branching = _branching(problem.resolve())
        members, weights = branching.start(self.filter)
        if not isinstance(members, AbstractGaussianBelief):
            name = type(members).__name__
            raise TypeError(f"filter: one with Gaussian beliefs is needed, and a start of its own, got {name}")
        needed(key)
        members = jax.tree.map(lambda leaf: jnp.broadcast_to(leaf[:, None], (len(leaf), self.size, *leaf.shape[1:])), members)
        return self._laid(branching, members, weights[:, None] - jnp.log(jnp.asarray(self.size, weights.dtype)))

    def _laid(self, branching, members, weights):
        """The belief of members about x, `(branches, size, ...)`, and their log-weights."""
        flat = jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), members)
        labels = jnp.repeat(jnp.asarray(branching.labels), self.size, axis=0)
        weights = jnp.broadcast_to(weights, members.time.shape).reshape(-1)
        return strong(Mixture(branching.joined(flat, labels), labels, weights, flat.time[0]))

    def predict(self, problem, belief, time, inputs=None, *, key=None):
        """Histories resampled, each with one of its branches, then branched anew; at equal times nothing."""
        branching, start = _branching(problem.resolve()), origin_of(belief.time, time)
        first, second = jax.random.split(needed(key))
        (members, labels), weights = self._chosen(belief, first)
        new = branching.branched(self.filter, branching.parted(members), labels, (start, time, inputs), second)
        moved = self._laid(branching, new[0], weights + new[1])
        times = jnp.broadcast_to(time, belief.members.time.shape)
        return choose(time > start, moved, eqx.tree_at(lambda b: (b.time, b.members.time), belief, (time, times)))

    def _chosen(self, belief, key):
        """((`size` members, their labels), log-weights)."""
        first, second = jax.random.split(key)
        folded = jax.tree.map(
            lambda leaf: jnp.moveaxis(leaf.reshape(-1, self.size, *leaf.shape[1:]), 0, 1),
            (belief.members, belief.labels, jnp.maximum(belief.log_weights, _NOTHING)),
        )
        totals = jax.nn.logsumexp(folded[2], axis=1)
        (members, labels, within), weights = self.resampler.resample(totals, folded, key=first)
        within = jax.nn.log_softmax(within, axis=1)
        index = _drawn(jax.lax.stop_gradient(within), spread_uniforms(second, self.size, within.dtype))
        chance = jnp.take_along_axis(within, index[:, None], axis=1)[:, 0]
        taken = jax.tree.map(lambda leaf: jax.vmap(lambda rows, k: rows[k])(leaf, index), (members, labels))
        return taken, weights + chance - jax.lax.stop_gradient(chance)

    def update(self, problem, belief, datum, *, key=None):
        """Each branch corrected, and weighed by its evidence."""
        branching = _branching(problem.resolve())
        about = branching.parted(belief.members)
        about = jax.tree.map(lambda leaf: leaf.reshape(-1, self.size, *leaf.shape[1:]), about)
        members, infos = branching.corrected(self.filter, about, datum)
        infos = jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), infos)
        weights, info = weighed(belief.log_weights, infos, datum.value)
        after = self._laid(branching, members, weights.reshape(-1, self.size))
        return choose(observed(datum.value).any(), after, belief), info


def _drawn(log_weights, uniforms):
    """An index for each row, by inversion."""
    cumulative = jnp.cumsum(jnp.exp(log_weights), axis=1)
    index = jnp.sum(cumulative <= uniforms[:, None] * cumulative[:, -1:], axis=1)
    return jnp.minimum(index, log_weights.shape[1] - 1)


def _branching(model):
    """What is drawn of a model; TypeError where there is nothing to draw."""
    if isinstance(model.transition, Switched):
        return _Regimes(*by_regime(model, "RaoBlackwellised"), model.transition.chain)
    if isinstance(model.transition, AbstractJumping) and model.transition.kinds:
        return _Jumps(model)
    name = type(model.transition).__name__
    raise TypeError(f"transition: RaoBlackwellised needs Switched or jumps to draw, got {name} without; use its filter")


class _Regimes(eqx.Module):
    """The regime at each datum; members about (x, r) are held, and parted from r for the filter."""

    models: list
    probabilities: Any
    chain: Any

    @property
    def labels(self):
        return np.arange(len(self.models))[:, None]

    def joined(self, members, labels):
        return labelled(members, labels[:, 0])

    def parted(self, members):
        return unlabelled(members)

    def start(self, filter):
        """(a member for each regime, log-weights)."""
        starts = [strong(filter.init(model)) for model in self.models]
        return jax.tree.map(lambda *leaves: jnp.stack(leaves), *starts), safe_log(self.probabilities)

    def branched(self, filter, members, labels, gap, key):
        """(members `(K, size, ...)` moved in each regime, its log-probabilities)."""
        start, time, inputs = gap
        chances = safe_log(self.chain.among(len(self.models), start, time, inputs))
        moved = [jax.vmap(lambda b, m=m: filter.predict(m, b, time, inputs))(members) for m in self.models]
        return jax.tree.map(lambda *leaves: jnp.stack(leaves), *moved), chances[labels[:, 0]].T

    def corrected(self, filter, members, datum):
        """(members, infos), both `(K, size, ...)`."""
        parts = [
            jax.vmap(lambda b, m=m: filter.update(m, b, datum))(jax.tree.map(lambda leaf, j=j: leaf[j], members))
            for j, m in enumerate(self.models)
        ]
        return jax.tree.map(lambda *leaves: jnp.stack(leaves), *parts)


class _Jumps(eqx.Module):
    """The numbers of jumps of each kind in a gap, and their times."""

    model: StateSpaceModel

    @property
    def labels(self):
        return every_count(self.model.transition.kinds)

    def joined(self, members, labels):
        return members

    def parted(self, members):
        return members

    def _given(self, transition):
        return StateSpaceModel(self.model.initial, transition, self.model.observation)

    def start(self, filter):
        """(the start for each choice of numbers, log-weights: none)."""
        belief = strong(filter.init(self._given(self.model.transition.without_jumps())))
        none = jnp.arange(len(self.labels)) == 0
        members = jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (len(self.labels), *leaf.shape)), belief)
        return members, jnp.where(none, 0.0, -jnp.inf).astype(belief.mean.dtype)

    def branched(self, filter, members, labels, gap, key):
        """(members `(branches, size, ...)` moved given the numbers, at times uniform over the gap; log-probabilities)."""
        start, time, inputs = gap
        kinds, dtype = self.model.transition.kinds, members.mean.dtype
        counts = jnp.asarray(self.labels, dtype)
        places = (members.mean.shape[0], len(kinds), max(kind.most for kind in kinds))

        def moved(count, member, passed):
            transition = self.model.transition.given_times(count, passed, start, time, inputs)
            return filter.predict(self._given(transition), member, time, inputs)

        each = jax.vmap(jax.vmap(moved, (None, 0, 0)), (0, None, None))
        chances = jax.vmap(lambda mean: count_chances(kinds, counts, mean, start, time, inputs))(members.mean)
        return each(counts, members, jax.random.uniform(key, places, dtype)), chances.T

    def corrected(self, filter, members, datum):
        """(members, infos), both `(branches, size, ...)`."""
        return jax.vmap(jax.vmap(lambda member: filter.update(self.model, member, datum)))(members)
