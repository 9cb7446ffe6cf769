"""The posterior from the way to its top."""

import equinox as eqx
import jax
import jax.numpy as jnp
from blackjax.vi.pathfinder import approximate, sample

from filterlearn.clock import whole
from filterlearn.posteriors.base import AbstractMethod, log_density, warn_of_noise
from filterlearn.posteriors.importance import approximated, smoothed

_BOUND = 32  # draws behind the bound at a point of a path


class Pathfinder(AbstractMethod):
    """The multi-path Pathfinder of BlackJAX: along each of `chains` climbs by L-BFGS the Gaussian of the curvature met so far
    that has the highest evidence lower bound (Zhang, Carpenter, Gelman & Vehtari 2022, arXiv:2108.03782).

    The draws of all paths are resampled by their Pareto-smoothed importance weights and shared out among the chains:
    consistent in `draws` where `pareto_k` is below .7, else biased by what the paths miss of the posterior; R-hat tells
    nothing of that. Much cheaper than a sampler, and a start for one (`start=tree`).
    """

    draws: int = eqx.field(static=True, default=1000)
    chains: int = eqx.field(static=True, default=4)
    steps: int = eqx.field(static=True, default=50)

    def __check_init__(self):
        whole("steps", self.steps, 1)

    def draw(self, target, start, scale, *, key):
        """Every path in one compiled call."""
        warn_of_noise(target, start[0])
        first, second = jax.random.split(key)
        found = approximated(target, *_paths(self, target, start, scale, jax.random.split(first, self.chains)))
        return found._replace(**_resampled(found, second))


@eqx.filter_jit
def _paths(method, target, start, scale, keys):
    """(draws, log q) of every path."""

    def density(z):
        return log_density(z * scale, target)

    def one(z, key):
        first, second = jax.random.split(key)
        best, _ = approximate(first, density, z, _BOUND, maxiter=method.steps)
        draws, log_q = sample(second, best, method.draws)
        return draws * scale, jnp.asarray(log_q) - jnp.sum(jnp.log(scale))

    return jax.vmap(one)(start / scale, keys)


@jax.jit
def _resampled(found, key):
    """Draws and statistics by importance."""
    ratios = found.statistics["lp"] - found.statistics["log_q"]
    rows = jax.random.categorical(key, smoothed(ratios.ravel())[0], shape=ratios.shape)
    chosen = {name: values.ravel()[rows] for name, values in found.statistics.items()}
    return {"draws": found.draws.reshape(-1, found.draws.shape[-1])[rows], "statistics": chosen}
