"""Particle marginal Metropolis-Hastings."""

import warnings

import equinox as eqx
import jax
import jax.numpy as jnp

from filterlearn.posteriors.base import TRIES, AbstractMethod, levels

_MOST = 3.0  # variance of the log-evidence above which chains stick


class ParticleMCMC(AbstractMethod):
    """Particle marginal Metropolis-Hastings: a random walk over theta with a fresh estimate of the evidence at each proposal
    (Andrieu, Doucet & Holenstein 2010, doi:10.1111/j.1467-9868.2009.00736.x).

    Exact for any number of particles when exp(evidence) is unbiased (`ParticleFilter`), fastest when the log-evidence has a
    variance s^2 near 1 (Doucet et al. 2015, doi:10.1093/biomet/asu075). s^2 is measured by 32 estimates at the likeliest
    start; above 3 a warning says which size to take. The proposal's covariance and scale are learned in the warmup only
    (Haario et al. 2001, doi:10.2307/3318737; Andrieu & Thoms 2008, doi:10.1007/s11222-008-9110-y), towards an acceptance
    of a quarter of 2 Phi(-s / sqrt 2), what the noise alone would leave.
    """

    warmup: int = eqx.field(static=True, default=1000)
    draws: int = eqx.field(static=True, default=2000)
    chains: int = eqx.field(static=True, default=4)

    def draw(self, target, start, scale, *, key):
        """Every chain in one compiled call."""
        first, second = jax.random.split(key)
        variance = _noise(target, start[0], first)
        if variance > _MOST:
            warnings.warn(_advice(target.algorithm, float(variance)), stacklevel=3)
        return _sample(self, target, start, scale, variance, jax.random.split(second, self.chains))


def _advice(algorithm, variance):
    """What the variance means, and the size that brings it to 1: it falls as 1 / size."""
    size = getattr(algorithm, "size", None) or getattr(getattr(algorithm, "filter", None), "size", None)
    cure = f"take size={int(size * variance) + 1} instead of {size}" if size else "take a filter with less noise"
    return (
        f"the log evidence has variance {variance:.3g} at the start, and chains stick above 3; {cure} for a variance near 1"
    )


def _noise(target, theta, key):
    """The variance of the log-evidence at a theta."""
    found = levels(target, jnp.tile(theta, (TRIES, 1)), jax.random.split(key, TRIES))
    return jnp.nan_to_num(jnp.var(found, where=jnp.isfinite(found), ddof=1))


@eqx.filter_jit
def _sample(method, target, start, scale, variance, keys):
    size = start.shape[1]
    wanted = 0.5 * jax.scipy.special.ndtr(-jnp.sqrt(variance / 2))
    floor = jnp.diag((1e-3 * scale) ** 2)

    def chain(theta, key):
        def one(carry, i):
            theta, level, mean, covariance, log_step = carry
            first, second, third = jax.random.split(jax.random.fold_in(key, i), 3)
            factor = jnp.exp(log_step) * jnp.linalg.cholesky(covariance + floor)
            proposed = theta + factor @ jax.random.normal(first, (size,), theta.dtype)
            new = target(proposed, second)
            accept = jnp.log(jax.random.uniform(third)) < new - level
            theta, level = jnp.where(accept, proposed, theta), jnp.where(accept, new, level)
            learn = i < method.warmup
            gain, fast = jnp.where(learn, (i + 20.0) ** -0.7, 0.0), jnp.where(learn, (i + 1.0) ** -0.6, 0.0)
            error = theta - mean
            covariance = covariance + gain * (jnp.outer(error, error) - covariance)
            new = (theta, level, mean + gain * error, covariance, log_step + fast * (accept - wanted))
            return jax.tree.map(lambda a, b: jnp.asarray(b, a.dtype), carry, new), (theta, accept, level)

        begin = target(theta, jax.random.fold_in(key, 2**31 - 1))
        first = (theta, begin, theta, jnp.diag(scale**2), jnp.log(2.4 / jnp.sqrt(size)).astype(theta.dtype))
        return jax.lax.scan(one, first, jnp.arange(method.warmup + method.draws))[1]

    draws, accepted, level = (part[:, method.warmup :] for part in jax.vmap(chain)(start, keys))
    return draws, {"acceptance_rate": accepted.astype(level.dtype), "lp": level}
