"""Several settings of a learner at once, weighed by how well they predict."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from filterlearn.beliefs.joint import BankBelief
from filterlearn.filters.base import weighed
from filterlearn.learners.base import AbstractLearner, check_family
from filterlearn.numerics.masking import choose, observed
from filterlearn.protocol import strong


class Bank(AbstractLearner):
    """The fixed-share mixture of a learner over a grid of settings (Herbster & Warmuth 1998, doi:10.1023/A:1007424614876):
    member k infers `vary(problem, grid[k])`, and at each datum

        w_k <- w_k p_k(y) / sum of w p(y),    then    w_k <- (1 - share) w_k + share / K.

    The scale of a motion, the memory of a forgetting, a noise or a prior are all settings; for the first of them `vary` is
    `lambda family, scale: equinox.tree_at(lambda f: f.parameters["a"].dynamics.scale, family, scale)`.

    Whatever the data, over T of them and with K members the log evidence is at least that of any sequence of members that
    switches m times, less log K + m log(K / share) - (T - 1 - m) log(1 - share + share / K). With `share` 0 it is the exact
    posterior of a setting that stays. A member that is not finite gets weight zero for good.
    """

    learner: AbstractLearner
    vary: Callable
    grid: Any
    share: Any

    def __check_init__(self):
        if not isinstance(self.learner, AbstractLearner):
            raise TypeError(
                f"learner: a learner is needed, got {type(self.learner).__name__}; put Joint or Nested around a filter"
            )
        if len({jnp.shape(leaf)[:1] for leaf in jax.tree.leaves(self.grid)} - {()}) != 1 or not self.size:
            raise ValueError("grid: arrays whose first axes all count the settings are needed")
        if isinstance(self.share, float | int) and not 0 <= self.share < 1:
            raise ValueError(f"share: a number from 0 to below 1 is needed, got {self.share}")

    @property
    def size(self) -> int:
        """Number of settings K."""
        return jnp.shape(jax.tree.leaves(self.grid)[0])[0]

    def _each(self, verb, problem, beliefs, key):
        """verb(problem, belief, key) of every member, from one key or several; settings in the precision of the family."""
        keys = jax.tree.map(lambda k: jax.random.split(k, self.size), key)
        grid = jax.tree.map(lambda leaf: jnp.asarray(leaf, problem.median.dtype), self.grid)
        return jax.vmap(lambda value, belief, k: verb(self.vary(problem, value), belief, k))(grid, beliefs, keys)

    def init(self, problem, *, key=None):
        """Each member's start, equally weighted."""
        check_family(problem)
        members = self._each(lambda given, _, k: strong(self.learner.init(given, key=k)), problem, None, key)
        time = members.time[0]
        return strong(BankBelief(members, jnp.full(self.size, -jnp.log(self.size), time.dtype), time))

    def predict(self, problem, belief, time, inputs=None, *, key=None):
        """Each member's prediction."""

        def ahead(given, member, k):
            return self.learner.predict(given, member, time, inputs, key=k)

        return BankBelief(self._each(ahead, problem, belief.members, key), belief.log_weights, time)

    def update(self, problem, belief, datum, *, key=None):
        """Each member's update; its evidence weighs it, then the share is spread."""

        def after(given, member, k):
            return self.learner.update(given, member, datum, key=k)

        return self._weighed(belief, *self._each(after, problem, belief.members, key), datum)

    def step(self, problem, belief, datum, *, keys):
        """Each member's step, then the weights as in `update`."""

        def after(given, member, k):
            return self.learner.step(given, member, datum, keys=k)

        members, infos = self._each(after, problem, belief.members, keys)
        return self._weighed(BankBelief(members, belief.log_weights, datum.time), members, infos, datum)

    def widened(self, problem, belief, kept, *, key=None):
        """Each member's."""

        def wide(given, member, k):
            return self.learner.widened(given, member, kept, key=k)

        return BankBelief(self._each(wide, problem, belief.members, key), belief.log_weights, belief.time)

    def _weighed(self, belief, members, infos, datum):
        """(belief, Info) from what each member says."""
        weights, info = weighed(belief.log_weights, infos, datum.value)
        new = choose(observed(datum.value).any(), (members, self._spread(weights)), (belief.members, belief.log_weights))
        return BankBelief(*new, belief.time), info

    def _spread(self, weights):
        """(1 - share) w + share / K over the members that weigh."""
        alive = weights > -jnp.inf
        part = jnp.log(jnp.asarray(self.share, weights.dtype)) - jnp.log(jnp.sum(alive, dtype=weights.dtype))
        kept = jnp.log1p(-jnp.asarray(self.share, weights.dtype)) + weights
        return jnp.where(alive, jnp.logaddexp(kept, part), -jnp.inf)
