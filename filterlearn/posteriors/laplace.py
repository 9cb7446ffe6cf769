"""The posterior as the Gaussian that fits its top."""

import equinox as eqx
import jax
import jax.numpy as jnp

from filterlearn.clock import whole
from filterlearn.posteriors.base import AbstractMethod, warn_of_noise
from filterlearn.posteriors.importance import approximated
from filterlearn.posteriors.optimise import peak


class Laplace(AbstractMethod):
    """The posterior of the unconstrained vector as N(m, -H^-1), m its mode and H the Hessian of its log density there
    (Tierney & Kadane 1986, doi:10.1080/01621459.1986.10478240).

    Biased, by what the posterior is not Gaussian; exact as the data grow and determine the parameters. Climbs from one start
    for each of `chains` and keeps the highest top: `reached` tells what each found. The approximation of the log evidence,
    log p(y, m) + (p / 2) log 2 pi - log|-H| / 2, is the attribute `laplace`, beside those of `importance`.
    """

    draws: int = eqx.field(static=True, default=1000)
    chains: int = eqx.field(static=True, default=4)
    steps: int = eqx.field(static=True, default=500)

    def __check_init__(self):
        whole("steps", self.steps, 1)

    def draw(self, target, start, scale, *, key):
        """The mode, then draws about it."""
        warn_of_noise(target, start[0])
        top = peak(target, start, scale, self.steps, target.sampled.entries)
        noise = jax.random.normal(key, (self.chains, self.draws, scale.shape[0]), scale.dtype)
        half = jnp.sum(jnp.log(jnp.diagonal(top.factor)))
        log_q = jnp.sum(jax.scipy.stats.norm.logpdf(noise), axis=-1) - half
        evidence = top.level + 0.5 * scale.shape[0] * jnp.log(2 * jnp.pi) + half
        told = {"laplace": evidence, "reached": top.reached}
        return approximated(target, top.theta + noise @ top.factor.T, log_q, told)
