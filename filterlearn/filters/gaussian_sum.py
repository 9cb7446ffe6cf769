"""The Gaussian-sum filter of processes that jump."""

import equinox as eqx
import jax
import jax.numpy as jnp

from filterlearn.beliefs.mixture import Mixture, merged
from filterlearn.clock import whole
from filterlearn.filters.base import weighed
from filterlearn.models.base import AbstractJumping, StateSpaceModel
from filterlearn.models.jumps import count_chances, placed_counts
from filterlearn.numerics.clusters import clusters
from filterlearn.numerics.masking import choose, observed
from filterlearn.protocol import AbstractAlgorithm, origin_of, strong


class GaussianSum(AbstractAlgorithm):
    """A mixture of the beliefs of `filter`, a Gaussian one, in which every number of jumps since the datum before is a
    hypothesis: 0 to `most` of each kind of `CompoundPoisson` (Sorenson & Alspach 1971, doi:10.1016/0005-1098(71)90097-5).

    Each of `size` members branches over the numbers of jumps, by their Poisson law at its mean; a datum weighs the branches;
    before the next gap they are merged to `size` again, nearest first, by their moments. The belief is a `Mixture` whose
    labels are the numbers of jumps: `belief.probability(lambda jumps: jumps[0] > 0)` is that of a jump since the datum
    before.

    A jump that is alone in its gap is, with `parts` above 1, in any of so many equal parts of it, each a hypothesis of its
    own: where the drift is strong, a jump counts the less the earlier it came. `steps` of a scheme is to be a multiple.

    Exact, the evidence too, with `Kalman` inside, `LinearSDE([[0]], ...)`, Normal marks, and branches that need no merging:
    where the state is seen without error, or `size` holds all histories. Otherwise biased by the merging, by a Gaussian law
    for jumps whose times within a part are not known (`LinearSDE`: its exact moments; other schemes: jumps spread evenly
    over the part, several over the gap), by the filter inside, and by leaving out more than `most` jumps. Mean and
    covariance of a prediction with `LinearSDE` are exact.
    """

    filter: AbstractAlgorithm
    size: int = eqx.field(static=True)
    parts: int = eqx.field(static=True, default=1)

    def __check_init__(self):
        whole("size", self.size, 1)
        whole("parts", self.parts, 1)
        if not isinstance(self.filter, AbstractAlgorithm):
            raise TypeError(f"filter: a Gaussian filter is needed, got {type(self.filter).__name__}")

    def init(self, problem, *, key=None):
        """The filter's start, in one member."""
        model = problem.resolve()
        if not isinstance(model.transition, AbstractJumping) or not model.transition.kinds:
            name = type(model.transition).__name__
            raise TypeError(f"transition: GaussianSum needs jumps, got {name} without; use the filter inside")
        still = StateSpaceModel(model.initial, model.transition.without_jumps(), model.observation)
        belief = strong(self.filter.init(still, key=key))
        counts, _ = placed_counts(model.transition.kinds, self.parts)
        labels = jnp.repeat(jnp.asarray(counts.sum(1).round().astype(int)), self.size, axis=0)
        members = jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (len(labels), *leaf.shape)), belief)
        weights = jnp.where(jnp.arange(len(labels)) == 0, 0.0, -jnp.inf).astype(belief.time.dtype)
        return Mixture(members, labels, weights, belief.time)

    def predict(self, problem, belief, time, inputs=None, *, key=None):
        """Merged to `size`, then branched over the numbers of jumps; at equal times nothing."""
        model, start = problem.resolve(), origin_of(belief.time, time)
        kept, weights = self._merged(belief)
        kinds = model.transition.kinds
        counts, share = (jnp.asarray(each, weights.dtype) for each in placed_counts(kinds, self.parts))
        numbers = jnp.sum(counts, axis=1)

        def branch(count):
            given = StateSpaceModel(
                model.initial, model.transition.given_jumps(count, start, time, inputs), model.observation
            )
            return jax.vmap(lambda member: self.filter.predict(given, member, time, inputs, key=key))(kept)

        chances = jax.vmap(lambda mean: count_chances(kinds, numbers, mean, start, time, inputs, share))(kept.mean)
        members = jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), jax.vmap(branch)(counts))
        new = Mixture(members, belief.labels, (weights + chances.T).reshape(-1), time)
        times = jnp.broadcast_to(time, belief.members.time.shape)
        return choose(time > start, new, eqx.tree_at(lambda b: (b.time, b.members.time), belief, (time, times)))

    def update(self, problem, belief, datum, *, key=None):
        """Each branch corrected, and weighed by its evidence."""
        members, infos = jax.vmap(lambda member: self.filter.update(problem, member, datum, key=key))(belief.members)
        weights, info = weighed(belief.log_weights, infos, datum.value)
        after = Mixture(members, belief.labels, weights, belief.time)
        return choose(observed(datum.value).any(), after, belief), info

    def _merged(self, belief):
        """(`size` members, their log-weights): clusters in units of the mixture's standard deviations, means and covariances
        alike, by their moments."""
        members, count = belief.members, belief.log_weights.shape[0]
        means, covariances = jax.vmap(lambda b: (b.mean, b.covariance))(members)
        sd = jnp.sqrt(jnp.diagonal(belief.covariance))
        sd = jnp.where(sd > 0, sd, 1.0)
        features = jnp.concatenate([means / sd, (covariances / sd / sd[:, None]).reshape(count, -1)], axis=1)
        within = clusters(features, belief.weights, self.size) == jnp.arange(self.size)[:, None]
        return merged(members, belief.log_weights, within)
