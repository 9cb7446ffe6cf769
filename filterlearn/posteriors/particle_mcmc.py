"""Particle marginal Metropolis-Hastings."""

import warnings

import equinox as eqx
import jax
import jax.numpy as jnp

from filterlearn.clock import whole
from filterlearn.posteriors.base import TRIES, AbstractMethod, Drawn, levels
from filterlearn.posteriors.walk import Walk
from filterlearn.protocol import stream_keys

_MOST = 3.0  # times the best variance of the log-evidence, above which chains stick


class ParticleMCMC(AbstractMethod):
    """Particle marginal Metropolis-Hastings: a random walk over theta and over the random numbers of the filter (Andrieu,
    Doucet & Holenstein 2010, doi:10.1111/j.1467-9868.2009.00736.x).

    A proposal renews the random numbers of one in `blocks` of the data, a stretch at a random place; 1 renews them all. With
    more blocks two estimates of the log-evidence differ by less, and fewer particles do (Tran, Kohn, Quiroz & Villani 2016,
    arXiv:1603.02485), where the filter depends smoothly on its random numbers: `ParticleFilter(n, Ordered(Systematic()))`.

    Exact for any number of particles and blocks when exp(evidence) is unbiased (`ParticleFilter`), fastest when s^2, half the
    variance of the difference of two log-evidences in a proposal that leaves theta, is near 1 (Doucet et al. 2015,
    doi:10.1093/biomet/asu075), and with blocks near 1 / sqrt(blocks), found by trial: chains renew all their numbers only
    after some blocks / acceptance proposals. s^2 is measured by 32 pairs at the likeliest start, `evidence_variance` beside
    `best_variance` among the attributes; above three times that a warning says which size to take, and `sized` finds one.
    The proposal's covariance and scale are learned in the warmup only (Haario et al. 2001, doi:10.2307/3318737; Andrieu &
    Thoms 2008, doi:10.1007/s11222-008-9110-y), towards an acceptance of a quarter of 2 Phi(-s / sqrt 2), what the noise alone
    would leave.
    """

    warmup: int = eqx.field(static=True, default=1000)
    draws: int = eqx.field(static=True, default=2000)
    chains: int = eqx.field(static=True, default=4)
    blocks: int = eqx.field(static=True, default=1)

    def __check_init__(self):
        whole("blocks", self.blocks, 1)

    def draw(self, target, start, scale, *, key):
        """Every chain in one compiled call."""
        first, second = jax.random.split(key)
        variance = evidence_noise(target, start[0], self.blocks, first)
        best = best_noise(self.blocks)
        if variance > _MOST * best:
            warnings.warn(_advice(target.algorithm, float(variance), best), stacklevel=3)
        drawn = _sample(self, target, start, scale, variance, jax.random.split(second, self.chains))
        size = particles_of(target.algorithm)
        return Drawn(*drawn, {"evidence_variance": variance, "best_variance": best} | ({"size": size} if size else {}))


def particles_of(algorithm) -> int | None:
    """The number of particles of the filter inside a learner, or of the algorithm itself."""
    return getattr(getattr(algorithm, "filter", None), "size", None) or getattr(algorithm, "size", None)


def best_noise(blocks: int) -> float:
    """The s^2 at which chains are fastest."""
    return blocks**-0.5


def _advice(algorithm, variance, best):
    """What the variance means, and the size that brings it to the best: it falls as 1 / size."""
    size = particles_of(algorithm)
    more = f"take size={int(size * variance / best) + 1} instead of {size}, or `sized`," if size else ""
    return (
        f"the log evidence has variance {variance:.3g} at the start, and chains stick above {_MOST * best:.2g}; "
        f"{more or 'take a filter with less noise'} for a variance near {best:.2g}, or more blocks"
    )


def _renewed(keys, blocks, key):
    """The keys of a stream with those of one in `blocks` data drawn anew, a stretch from a random place on, round the end."""
    first, second = jax.random.split(key)
    length = keys.shape[0]
    place = (jnp.arange(length) - jax.random.randint(first, (), 0, length)) % length
    return jnp.where(place < -(-length // blocks), stream_keys(second, length - 1), keys)


@eqx.filter_jit
def evidence_noise(target, theta, blocks, key):
    """Half the mean square difference of the log-evidences, at a theta, of pairs that share all but one block."""
    first, second = jax.random.split(key)
    keys = jax.vmap(lambda k: stream_keys(k, len(target.data)))(jax.random.split(first, TRIES))
    renewed = jax.vmap(lambda each, k: _renewed(each, blocks, k))(keys, jax.random.split(second, TRIES))
    found = levels(target, jnp.tile(theta, (2 * TRIES, 1)), jnp.concatenate([keys, renewed])).reshape(2, TRIES)
    difference = found[1] - found[0]
    return 0.5 * jnp.nan_to_num(jnp.mean(difference**2, where=jnp.isfinite(difference)))


@eqx.filter_jit
def _sample(method, target, start, scale, variance, keys):
    wanted = 0.5 * jax.scipy.special.ndtr(-jnp.sqrt(variance / 2))

    def chain(theta, key):
        def one(carry, i):
            theta, level, numbers, walk = carry
            first, second, third = jax.random.split(jax.random.fold_in(key, i), 3)
            proposed, drawn = walk.proposed(theta, scale, first), _renewed(numbers, method.blocks, second)
            new = target(proposed, drawn)
            accept = jnp.log(jax.random.uniform(third)) < new - level
            theta, level = jnp.where(accept, proposed, theta), jnp.where(accept, new, level)
            walk = walk.learned(theta, accept, wanted, i, method.warmup)
            return (theta, level, jnp.where(accept, drawn, numbers), walk), (theta, accept, level)

        numbers = stream_keys(jax.random.fold_in(key, 2**31 - 1), len(target.data))
        begun = theta, target(theta, numbers), numbers, Walk.begun(theta, scale)
        return jax.lax.scan(one, begun, jnp.arange(method.warmup + method.draws))[1]

    draws, accepted, level = (part[:, method.warmup :] for part in jax.vmap(chain)(start, keys))
    return draws, {"acceptance_rate": accepted.astype(level.dtype), "lp": level}
