"""The posterior from the way to its top."""

import equinox as eqx
import jax.numpy as jnp
from blackjax.vi.multipathfinder import multi_approximate

from filterlearn.clock import whole
from filterlearn.posteriors.base import AbstractMethod, log_density, warn_of_noise
from filterlearn.posteriors.importance import approximated


class Pathfinder(AbstractMethod):
    """The multi-path Pathfinder of BlackJAX: along each of `chains` climbs by L-BFGS the Gaussian of the curvature met so far
    that has the highest evidence lower bound (Zhang, Carpenter, Gelman & Vehtari 2022, arXiv:2108.03782).

    Biased, by what the posterior is not Gaussian. Each chain holds the draws of one path, so that R-hat tells of paths that
    ended apart. Much cheaper than a sampler: a start for one (`start=`), or an answer where `pareto_k` is below .7.
    """

    draws: int = eqx.field(static=True, default=1000)
    chains: int = eqx.field(static=True, default=4)
    steps: int = eqx.field(static=True, default=100)

    def __check_init__(self):
        whole("steps", self.steps, 1)

    def draw(self, target, start, scale, *, key):
        """Every path in one compiled call."""
        warn_of_noise(target, start[0])
        draws, log_q = _paths(self, target, start, scale, key)
        return approximated(target, draws, log_q)


@eqx.filter_jit
def _paths(method, target, start, scale, key):
    def density(z):
        return log_density(z * scale, target)

    found, _ = multi_approximate(key, density, start / scale, method.draws, maxiter=method.steps)
    return found.samples * scale, found.logq - jnp.sum(jnp.log(scale))
