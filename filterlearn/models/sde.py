"""Stochastic differential equations, Ito always, with compound-Poisson jumps."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpyro.distributions as dist

from filterlearn.models.base import arrays
from filterlearn.numerics.small import safe_sqrt

_MOST = 8  # jumps of one kind within one substep that are simulated


def _callable(given):
    if callable(given):
        return given
    array = arrays(given)
    return lambda t, x, u: array


class CompoundPoisson(eqx.Module):
    """Jumps with an intensity per unit time and a mark law (numpyro) of the jump vector, constants or functions of (t, x, u).

    Both read x(t-). The count in a substep of length h is Poisson(intensity h), drawn by inversion: weak order 1 when the
    intensity moves. Marks that are drawn must be Normal or Delta (their sum is exact); moment filters take any law with a
    mean and a variance. A state that does not jump has mean 0 and scale 0: `Normal(mean, scale, validate_args=False)`.
    """

    intensity: Any
    mark: Any

    def law(self, t, x, u):
        """The mark law at a state."""
        return self.mark if isinstance(self.mark, dist.Distribution) else self.mark(t, x, u)

    def moments(self, t, x, u):
        """Intensity, mark mean and mark standard deviations."""
        law = self.law(t, x, u)
        rate = self.intensity(t, x, u) if callable(self.intensity) else jnp.asarray(self.intensity, x.dtype)
        mean = jnp.broadcast_to(law.mean, x.shape)
        return rate, mean, jnp.sqrt(jnp.broadcast_to(law.variance, x.shape))


def poisson_count(rate, uniform):
    """The Poisson count at a uniform, by inversion (up to 8)."""
    term = jnp.exp(-rate)
    total, count = term, jnp.zeros_like(rate)
    for k in range(1, _MOST + 1):
        count = count + (uniform > total)
        term = term * rate / k
        total = total + term
    return count


class SDE(eqx.Module):
    """dx = drift(t, x, u) dt + diffusion(t, x, u) dW + jumps, in the sense of Ito; rates are per unit of the data's time.

    The diffusion is `(n, m)`, or `(n,)` meaning diagonal, or a constant array of either shape.
    """

    drift: Any
    diffusion: Any
    jumps: tuple = ()

    def __init__(self, drift, diffusion, jumps=()):
        if not callable(drift):
            raise TypeError(f"drift: a function (t, x, u) is needed, got {type(drift).__name__}")
        self.drift, self.diffusion = drift, arrays(diffusion)
        self.jumps = (jumps,) if isinstance(jumps, CompoundPoisson) else tuple(jumps)

    def noise_matrix(self, t, x, u):
        """The diffusion as `(n, m)`."""
        g = jnp.asarray(_callable(self.diffusion)(t, x, u), x.dtype)
        return jnp.diag(g) if g.ndim == 1 else g

    def diffuse(self, t, x, u, noise):
        """diffusion times a noise vector, without forming a diagonal matrix."""
        g = jnp.asarray(_callable(self.diffusion)(t, x, u), x.dtype)
        return g * noise if g.ndim == 1 else jnp.sum(g * noise, axis=1)


def check_normal_marks(jumps, t, x, u):
    """Only marks whose sum is known in closed form can be drawn together."""
    for jump in jumps:
        law = jump.law(t, x, u)
        base = law.base_dist if isinstance(law, dist.Independent) else law
        if not isinstance(base, dist.Normal | dist.Delta):
            raise TypeError(f"mark: a Normal or Delta law is needed to draw jumps, got {type(law).__name__}")


def draw_jumps(jumps, x, t, h, u, noise):
    """The sum of the jumps in a substep; `noise` holds a row of n + 1 normals for each kind of jump."""
    check_normal_marks(jumps, t, x, u)
    total = jnp.zeros_like(x)
    for jump, row in zip(jumps, noise, strict=True):
        rate, mean, sd = jump.moments(t, x, u)
        count = poisson_count(rate * h, jax.scipy.special.ndtr(row[0]))
        total = total + count * mean + safe_sqrt(count) * sd * row[1:]
    return total


def jump_moments(jumps, x, t, h, u):
    """Mean of the jumps in a substep, and the columns they add to the covariance factor."""
    mean, columns = jnp.zeros_like(x), []
    for jump in jumps:
        rate, m, sd = jump.moments(t, x, u)
        mean = mean + rate * h * m
        columns += [safe_sqrt(rate * h) * m[:, None], safe_sqrt(rate * h) * jnp.diag(sd)]
    return mean, columns
