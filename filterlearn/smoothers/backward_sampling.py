"""Backward sampling of paths."""

import equinox as eqx
import jax
import jax.numpy as jnp

from filterlearn.beliefs.particles import drawn_by_weight
from filterlearn.clock import whole
from filterlearn.smoothers.base import AbstractBackwardSampler


class BackwardSampling(AbstractBackwardSampler):
    """Draws `draws` paths from the last particles back, particle i at k with probability proportional to

        w_k^i f(x_k+1 | x_k^i)

    (Godsill, Doucet & West 2004, doi:10.1198/016214504000000151). Consistent as particles grow; paths part from each other
    where those of the filter's own ancestors have long met. Each path costs all N particles at each time:
    `BackwardRejection` costs less where the noise of the state is not small.

    The answer's beliefs are equally weighted `Particles` `(T, draws, n)`: row j of every time is path j. Needs a key
    (ValueError), particles, and a transition of one substep of Gaussian law, its covariance singular or not (TypeError).
    """

    draws: int = eqx.field(static=True)

    def __check_init__(self):
        whole("draws", self.draws, 1)

    def chosen(self, log_weights, density, points, ancestors, key):
        """By inversion of all the weights of each path."""
        return jax.random.categorical(key, log_weights + jax.vmap(density)(points), axis=1).astype(jnp.int32)


class BackwardRejection(AbstractBackwardSampler):
    """The law of `BackwardSampling`, drawn by rejection: a particle proposed by weight is kept with probability f over its
    peak (Douc, Garivier, Moulines & Olsson 2011, doi:10.1214/10-AAP735). After `rounds` of proposals what is still undecided
    is drawn from all the weights, so that the time is bounded and the law exact (Dau & Chopin 2023,
    doi:10.1214/22-AOS2270)."""

    draws: int = eqx.field(static=True)
    rounds: int = eqx.field(static=True, default=20)

    def __check_init__(self):
        whole("draws", self.draws, 1)
        whole("rounds", self.rounds, 1)

    def chosen(self, log_weights, density, points, ancestors, key):
        """Rounds of proposals, then the rest."""
        first, second = jax.random.split(key)
        peak = density.peak()

        def more(carry):
            return (carry[0] < self.rounds) & ~carry[2].all()

        def one(carry):
            k, index, done = carry
            tried, level = _tried(log_weights, index, jax.random.fold_in(first, k))
            kept = level < jax.vmap(density.at)(points, tried) - peak
            return k + 1, jnp.where(done, index, jnp.where(kept, tried, index)), done | kept

        start = (0, jnp.zeros(points.shape[0], jnp.int32), jnp.zeros(points.shape[0], bool))
        _, index, done = jax.lax.while_loop(more, one, start)

        def rest():
            return jax.random.categorical(second, log_weights + jax.vmap(density)(points), axis=1).astype(index.dtype)

        return jnp.where(done, index, jax.lax.cond(done.all(), lambda: index, rest))


class BackwardMetropolis(AbstractBackwardSampler):
    """Paths as by `BackwardSampling`, at each time by `steps` moves of Metropolis and Hastings: from the particle that the
    filter moved to the path's point, one proposed by weight takes its place with probability

        min(1, f(x_k+1 | x_proposed) / f(x_k+1 | x_now))

    (Bunch & Godsill 2013, IEEE Transactions on Signal Processing 61, 956-963; Dau & Chopin 2023,
    doi:10.1214/22-AOS2270). Started there the moves keep the law, so that the paths are consistent as particles grow, for
    any number of moves; more of them part the paths better. A path costs `steps` densities at each time, however many
    particles there are. Needs their lineage, which `Genealogy(ParticleFilter(size, Adaptive(Multinomial())))` keeps: else
    ValueError."""

    draws: int = eqx.field(static=True)
    steps: int = eqx.field(static=True, default=2)

    def __check_init__(self):
        whole("draws", self.draws, 1)
        whole("steps", self.steps, 1)

    def check(self, beliefs, transition):
        """ValueError also where no lineage is kept."""
        super().check(beliefs, transition)
        if beliefs.lineage is None:
            raise ValueError("trajectory: the lineage is needed; filter with Genealogy(ParticleFilter(size, Multinomial()))")

    def chosen(self, log_weights, density, points, ancestors, key):
        """The moves, one after another."""

        def one(carry, own):
            index, now = carry
            tried, level = _tried(log_weights, index, own)
            ahead = jax.vmap(density.at)(points, tried)
            taken = level < ahead - now
            return (jnp.where(taken, tried, index), jnp.where(taken, ahead, now)), None

        index = ancestors.astype(jnp.int32)
        start = (index, jax.vmap(density.at)(points, index))
        return jax.lax.scan(one, start, jax.random.split(key, self.steps))[0][0]


def _tried(log_weights, index, key):
    """(a particle by weight in the place of each, the logarithm of a uniform)."""
    first, second = jax.random.split(key)
    tried = drawn_by_weight(log_weights, index.shape[0], first).astype(index.dtype)
    return tried, jnp.log(jax.random.uniform(second, index.shape, log_weights.dtype))
