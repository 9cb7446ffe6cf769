"""Gaussian filters of systems that switch between regimes."""

import abc

import equinox as eqx
import jax
import jax.numpy as jnp

from filterlearn.beliefs.mixture import Mixture, labelled, merged, unlabelled
from filterlearn.filters.base import weighed
from filterlearn.models.transitions.switched import by_regime
from filterlearn.numerics.densities import safe_log
from filterlearn.numerics.masking import choose, observed
from filterlearn.protocol import AbstractAlgorithm, origin_of, strong


class AbstractBranching(eqx.Module):
    """Which histories of the regime are told apart."""

    @abc.abstractmethod
    def copies(self, regimes: int) -> int:
        """The number of members in each regime."""

    @abc.abstractmethod
    def branch(self, members, pairs):
        """(members, their log-weights), both `(K, copies, ...)` by the new regime first, from one member for each regime
        and the log-weights `pairs` `(K, K)` of going from i to j."""


class InteractingModels(AbstractBranching):
    """One member for each regime, mixed before it is moved: the interacting multiple models of Blom & Bar-Shalom (1988,
    doi:10.1109/9.1299)."""

    def copies(self, regimes):
        """One."""
        return 1

    def branch(self, members, pairs):
        """The mixture that enters each regime, by its moments."""
        every = jnp.ones((1, pairs.shape[0]), bool)
        return jax.vmap(lambda weights: merged(members, weights, every), in_axes=1)(pairs)


class PairsOfRegimes(AbstractBranching):
    """A member for each pair of the last two regimes, mixed after the datum: the second-order generalised pseudo-Bayes filter
    (Ackerson & Fu 1970, doi:10.1109/TAC.1970.1099359; Kim 1994, doi:10.1016/0304-4076(94)90036-1)."""

    def copies(self, regimes):
        """As many as there are regimes."""
        return regimes

    def branch(self, members, pairs):
        """All pairs."""
        size = pairs.shape[0]
        return jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (size, *leaf.shape)), members), pairs.T


class Switching(AbstractAlgorithm):
    """A Gaussian filter in each regime of a `Switched` transition with a `SwitchedObservation`, the regimes weighed by how
    well they predict; `filter` works on x and the regime's own model, `branching` is `InteractingModels()` or
    `PairsOfRegimes()` (both in Bar-Shalom, Li & Kirubarajan 2001, chapter 11, doi:10.1002/0471221279).

    The belief is a `Mixture` over (x, r) whose label is the regime: `belief.probability(lambda regime: regime[0] == 1)`.
    The exact belief has a member for each history of the regime. Exact, the evidence too, where fewer members do: pairs of
    regimes up to the second datum, both where x is known or the regimes do not differ. Otherwise biased by merging members
    by their moments, pairs less than interacting models, which cost K filters instead of K^2; and by the filter inside.
    """

    filter: AbstractAlgorithm
    branching: AbstractBranching = InteractingModels()

    def __check_init__(self):
        if not isinstance(self.filter, AbstractAlgorithm):
            raise TypeError(f"filter: a Gaussian filter is needed, got {type(self.filter).__name__}")
        if not isinstance(self.branching, AbstractBranching):
            name = type(self.branching).__name__
            raise TypeError(f"branching: InteractingModels() or PairsOfRegimes() is needed, got {name}")

    def init(self, problem, *, key=None):
        """The same belief in each regime."""
        models, probabilities = by_regime(problem.resolve(), "Switching")
        size = len(models)
        starts = [strong(self.filter.init(each, key=key)) for each in models]
        members = jax.tree.map(lambda *leaves: jnp.stack(leaves), *starts)
        weights = jnp.full((size, self.branching.copies(size)), -jnp.inf, starts[0].mean.dtype)
        return self._laid([self._spread(members, j) for j in range(size)], weights.at[:, 0].set(safe_log(probabilities)))

    def _spread(self, members, j):
        """Copies of the member of regime j."""
        copies = self.branching.copies(members.time.shape[0])
        return jax.tree.map(lambda leaf: jnp.broadcast_to(leaf[j], (copies, *leaf.shape[1:])), members)

    def _laid(self, members, weights):
        """The belief of a list of members about x, `(copies,)` in each regime, with log-weights `(K, copies)`."""
        whole = jax.tree.map(lambda *leaves: jnp.concatenate(leaves), *members)
        labels = jnp.repeat(jnp.arange(weights.shape[0]), weights.shape[1])
        return Mixture(labelled(whole, labels), labels[:, None], weights.reshape(-1), whole.time[0])

    def _taken(self, belief, size):
        """The members about x, by regime `(K, copies, ...)`."""
        return jax.tree.map(lambda leaf: leaf.reshape(size, -1, *leaf.shape[1:]), unlabelled(belief.members))

    def predict(self, problem, belief, time, inputs=None, *, key=None):
        """Merged within each regime, branched, then moved by the filter in the new regime; at equal times nothing."""
        model, start = problem.resolve(), origin_of(belief.time, time)
        models, _ = by_regime(model, "Switching")
        size = len(models)
        here = belief.labels[:, 0] == jnp.arange(size)[:, None]
        kept, weights = merged(unlabelled(belief.members), belief.log_weights, here)
        pairs = weights[:, None] + safe_log(model.transition.chain.among(size, start, time, inputs))
        members, weights = self.branching.branch(kept, pairs)

        def moved(j, given):
            here = jax.tree.map(lambda leaf: leaf[j], members)
            return jax.vmap(lambda member: self.filter.predict(given, member, time, inputs, key=key))(here)

        new = self._laid([moved(j, given) for j, given in enumerate(models)], weights)
        times = jnp.broadcast_to(time, belief.members.time.shape)
        return choose(time > start, new, eqx.tree_at(lambda b: (b.time, b.members.time), belief, (time, times)))

    def update(self, problem, belief, datum, *, key=None):
        """Each member corrected in its regime, and weighed by its evidence."""
        models, _ = by_regime(problem.resolve(), "Switching")
        members, parts = self._taken(belief, len(models)), []
        for j, given in enumerate(models):
            here = jax.tree.map(lambda leaf, j=j: leaf[j], members)
            parts.append(jax.vmap(lambda member, given=given: self.filter.update(given, member, datum, key=key))(here))
        infos = jax.tree.map(lambda *leaves: jnp.concatenate(leaves), *(info for _, info in parts))
        weights, info = weighed(belief.log_weights, infos, datum.value)
        after = self._laid([each for each, _ in parts], weights.reshape(len(parts), -1))
        return choose(observed(datum.value).any(), after, belief), info
