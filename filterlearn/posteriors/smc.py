"""Particles of theta carried from the prior to the posterior."""

import equinox as eqx
import jax
import jax.numpy as jnp

from filterlearn.beliefs.particles import weighted_covariance
from filterlearn.clock import whole
from filterlearn.numerics.densities import effective_size, log_mean_exp, normalise
from filterlearn.numerics.small import cholesky
from filterlearn.posteriors.base import AbstractMethod, Drawn
from filterlearn.resamplers.base import inverse_cdf

_MOST = 256  # temperatures
_HALVINGS = 40  # of the interval in which the next temperature lies
_ACCEPTED = 0.25  # share of the moves to which their length is led
_FLOOR = 1e-5  # of the variances, added to them: few different particles still have a proposal


class SMC(AbstractMethod):
    """Sequential Monte Carlo from the prior to the posterior, through

        p(theta) p(y_1..T | theta)^lambda,    0 = lambda_0 < lambda_1 < ... = 1,

    each lambda as far from the last as `threshold` of the particles allows, by effective size (Del Moral, Doucet & Jasra
    2006, doi:10.1111/j.1467-9868.2006.00553.x). At each, `size` / `moves` particles are resampled, and each walks `moves`
    Metropolis steps, scaled by the covariance and by what the last temperature accepted; all steps are kept (waste-free:
    Dau & Chopin 2022, doi:10.1111/rssb.12475), and become the draws, walk after walk. A proposal has random numbers of its
    own, so that with a `ParticleFilter` it is exact for any number of particles (Duan & Fulop 2015,
    doi:10.1080/07350015.2014.940081).

    Needs no derivative, and finds several modes that the prior covers. `log_evidence` among the attributes is log p(y_1..T)
    by each of the `chains`, independent but for the temperatures that they share, `temperatures`: consistent in `size`. It
    begins at the prior, and a warm start changes nothing. Raises ValueError where no draw of the prior has a finite
    density, or 256 temperatures do not reach 1.
    """

    size: int = eqx.field(static=True, default=2000)
    moves: int = eqx.field(static=True, default=40)
    chains: int = eqx.field(static=True, default=4)
    threshold: float = 0.5

    def __check_init__(self):
        whole("moves", self.moves, 1)
        whole("size", self.size, 2 * self.moves)
        if self.size % self.moves:
            raise ValueError(f"size: a multiple of moves={self.moves} is needed, got {self.size}")

    def draw(self, target, start, scale, *, key):
        """All temperatures in one compiled call."""
        cloud, evidence, taken, count = _sample(self, target, jax.random.split(key, self.chains))
        if not jnp.all(jnp.isfinite(evidence)):
            raise ValueError(f"family: the density is finite at none of {self.size} draws of the prior; narrow the priors")
        if taken[count] < 1:
            raise ValueError(
                f"threshold: {_MOST} temperatures reach {taken[count]:.3g}, not 1; narrow the priors, or lower it"
            )
        statistics = {"acceptance_rate": cloud.accepted, "lp": cloud.prior + cloud.level}
        return Drawn(cloud.thetas, statistics, {"log_evidence": evidence, "temperatures": taken[: int(count) + 1]})


class _Cloud(eqx.Module):
    """Particles of theta, their log prior densities and log evidences, and whether the move to each was accepted."""

    thetas: jax.Array
    prior: jax.Array
    level: jax.Array
    accepted: jax.Array


def _weighed(target, theta, key):
    """(log prior, log evidence), -inf both where the theta breaks the model."""
    prior, level = target.sampled.log_prior(theta), jnp.sum(target.terms(theta, key))
    sound = jnp.isfinite(prior + level)
    return jnp.where(sound, prior, -jnp.inf), jnp.where(sound, level, -jnp.inf)


def _begun(method, target, key):
    """Draws from the prior."""
    first, second = jax.random.split(key)
    thetas = target.sampled.sample_prior(method.size, key=first)
    keys = jax.random.split(second, method.size)
    prior, level = jax.lax.map(lambda row: _weighed(target, *row), (thetas, keys), batch_size=method.size // method.moves)
    return _Cloud(thetas, prior, level, jnp.ones_like(level))


def _tempered(level, gap):
    """Log weights of a step in lambda; a theta that breaks the model has none."""
    return jnp.where(jnp.isfinite(level), gap * level, -jnp.inf)


def _gap(method, levels, left):
    """The longest step in lambda that leaves each chain `threshold` of its particles of finite density."""

    def enough(gap):
        sizes = jax.vmap(lambda level: effective_size(normalise(_tempered(level, gap))[0]))(levels)
        return jnp.all(sizes >= method.threshold * jnp.sum(jnp.isfinite(levels), axis=1))

    def halved(_, ends):
        low, high = ends
        middle = 0.5 * (low + high)
        return jnp.where(enough(middle), middle, low), jnp.where(enough(middle), high, middle)

    return jnp.where(enough(left), left, jax.lax.fori_loop(0, _HALVINGS, halved, (jnp.zeros_like(left), left))[0])


def _moved(method, target, cloud, weights, power, log_step, key):
    """Resampled, and walked under the prior times evidence^power."""
    first, second = jax.random.split(key)
    walks, p = method.size // method.moves, cloud.thetas.shape[1]
    places = (jnp.arange(walks) + jax.random.uniform(first, (), weights.dtype)) / walks
    ancestors = inverse_cdf(weights, places)
    covariance = weighted_covariance(cloud.thetas, jnp.exp(weights))
    floor = jnp.diag(_FLOOR * (jnp.diagonal(covariance) + (_FLOOR * target.sampled.sd) ** 2))
    factor = jnp.exp(log_step) * cholesky(covariance + floor)

    def walk(now, key):
        def one(now, key):
            first, second, third = jax.random.split(key, 3)
            theta = now.thetas + factor @ jax.random.normal(first, (p,), factor.dtype)
            prior, level = _weighed(target, theta, second)
            gain = prior - now.prior + power * (level - now.level)
            taken = jnp.log(jax.random.uniform(third, (), factor.dtype)) < gain
            new = _Cloud(theta, prior, level, jnp.ones_like(level))
            old = eqx.tree_at(lambda c: c.accepted, now, jnp.zeros_like(level))
            after = jax.tree.map(lambda a, b: jnp.where(taken, a, b), new, old)
            return after, after

        return jax.lax.scan(one, now, jax.random.split(key, method.moves))[1]

    start = jax.tree.map(lambda leaf: leaf[ancestors], cloud)
    kept = jax.vmap(walk)(start, jax.random.split(second, walks))
    after = jax.tree.map(lambda leaf: leaf.reshape(method.size, *leaf.shape[2:]), kept)
    return after, log_step + jnp.mean(after.accepted) - _ACCEPTED


@eqx.filter_jit
def _sample(method, target, keys):
    """(the last particles of each chain, their log evidences, the temperatures, how many of them after 0)."""
    clouds = jax.vmap(lambda key: _begun(method, target, jax.random.fold_in(key, _MOST)))(keys)
    dtype = clouds.level.dtype
    step = jnp.full(len(keys), jnp.log(2.4) - 0.5 * jnp.log(target.sampled.size), dtype)

    def more(carry):
        _, evidence, _, taken, count = carry
        return (taken[count] < 1) & (count < _MOST) & jnp.all(jnp.isfinite(evidence))

    def one(carry):
        clouds, evidence, step, taken, count = carry
        gap = _gap(method, clouds.level, 1 - taken[count])
        power = jnp.minimum(taken[count] + gap, 1)
        unnormalised = _tempered(clouds.level, gap)
        evidence += jax.vmap(log_mean_exp)(unnormalised)
        weights = jax.vmap(lambda w: normalise(w)[0])(unnormalised)
        own = jax.vmap(lambda key: jax.random.fold_in(key, count))(keys)
        clouds, step = jax.vmap(lambda *each: _moved(method, target, each[0], each[1], power, *each[2:]))(
            clouds, weights, step, own
        )
        return clouds, evidence, step, taken.at[count + 1].set(power), count + 1

    begun = clouds, jnp.zeros(len(keys), dtype), step, jnp.zeros(_MOST + 1, dtype), 0
    clouds, evidence, _, taken, count = jax.lax.while_loop(more, one, begun)
    return clouds, evidence, taken, count
