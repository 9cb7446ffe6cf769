"""Stochastic differential equations, Ito always."""

from typing import Any

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from filterlearn.models.base import arrays, timed
from filterlearn.models.jumps import checked_jumps
from filterlearn.numerics.small import safe_sqrt


def _callable(given):
    if callable(given):
        return given
    array = arrays(given)
    return lambda t, x, u: array


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
        self.drift, self.diffusion = timed(drift), arrays(diffusion)
        self.jumps = checked_jumps(jumps)

    def with_flow(self, rates: Float[Array, "kinds"]):
        """The SDE whose jumps come as a steady flow of so many of each kind per unit of time: their means in the drift, their
        covariances in the noise."""

        def drift(t, x, u):
            moments = (jump.moments(t, x, u) for jump in self.jumps)
            return self.drift(t, x, u) + sum(rate * mean for rate, (_, mean, _) in zip(rates, moments, strict=True))

        def diffusion(t, x, u):
            moments = (jump.moments(t, x, u) for jump in self.jumps)
            columns = [safe_sqrt(rate) * factor for rate, (*_, factor) in zip(rates, moments, strict=True)]
            return jnp.concatenate([self.noise_matrix(t, x, u), *columns], axis=1)

        return SDE(drift, diffusion)

    def with_integral(self, integrand):
        """The SDE of (x, z), dz = integrand(t, x, u) dt, z one number: its sum where `integrand` gives several. Refused with
        ValueError where there are jumps (`SinceLast` takes those)."""
        if self.jumps:
            raise ValueError("jumps: with_integral takes an SDE without jumps; use SinceLast")
        if not callable(integrand):
            raise TypeError(f"integrand: a function (t, x, u) is needed, got {type(integrand).__name__}")
        integrand = timed(integrand)

        def widened(g):
            return jnp.pad(jnp.asarray(g), [(0, 1), (0, 0)][: jnp.ndim(g)])

        def drift(t, x, u):
            return jnp.append(self.drift(t, x[:-1], u), jnp.sum(integrand(t, x[:-1], u)))

        def diffusion(t, x, u):
            return widened(self.diffusion(t, x[:-1], u))

        return SDE(drift, diffusion if callable(self.diffusion) else widened(self.diffusion))

    def diffusion_at(self, t, x, u):
        """The diffusion as it is given, `(n, m)` or its diagonal `(n,)`."""
        return jnp.asarray(_callable(self.diffusion)(t, x, u), x.dtype)

    def noise_matrix(self, t, x, u):
        """The diffusion as `(n, m)`."""
        g = self.diffusion_at(t, x, u)
        return jnp.diag(g) if g.ndim == 1 else g

    def diffuse(self, t, x, u, noise):
        """diffusion times a noise vector, without forming a diagonal matrix."""
        g = self.diffusion_at(t, x, u)
        return g * noise if g.ndim == 1 else jnp.sum(g * noise, axis=1)
