"""Laws N(mean, covariance + k diffuse) as k grows without bound."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from filterlearn.numerics.densities import LOG_2PI
from filterlearn.numerics.masking import choose
from filterlearn.numerics.small import lower_solve, semidefinite_factor, symmetric


class Vague(NamedTuple):
    """The three parts of such a law."""

    mean: Any
    covariance: Any
    diffuse: Any


def _scalar(law, row):
    """One scalar observation (Durbin & Koopman 2012, section 6.4)."""
    m, p, d = law
    h, y, r, seen = row
    error = y - h @ m
    finite, infinite = h @ p @ h + r, h @ d @ h
    diffuse = infinite > 1e-9 * jnp.maximum(jnp.max(jnp.abs(d)), 1e-300) * (h @ h)
    diffuse = diffuse & (jnp.max(jnp.abs(d)) > 1e-12)
    big = jnp.where(diffuse, infinite, 1.0)
    k0 = d @ h / big
    f = jnp.where(finite > 0, finite, 1.0)
    gain = p @ h / f
    when_diffuse = Vague(
        m + k0 * error,
        symmetric(p + jnp.outer(k0, k0) * finite - jnp.outer(k0, p @ h) - jnp.outer(p @ h, k0)),
        symmetric(d - jnp.outer(k0, k0) * infinite),
    )
    usual = Vague(m + gain * error, symmetric(p - jnp.outer(gain, gain) * f), d)
    new = choose(seen, choose(diffuse, when_diffuse, usual), law)
    term = jnp.where(seen & ~diffuse, -0.5 * (LOG_2PI + jnp.log(f) + error**2 / f), 0.0)
    return new, term


def _decorrelated(r):
    """U and v with R = U diag(v) U', U unit lower: U^-1 y has independent noise, and the same density."""
    factor = semidefinite_factor(r)
    pivots = jnp.diagonal(factor)
    unit = factor / jnp.where(pivots > 0, pivots, 1.0) + jnp.diag(jnp.where(pivots > 0, 0.0, 1.0))
    return unit, pivots**2


def conditioned(law: Vague, h: Float[Array, "m n"], y: Float[Array, "m"], r: Float[Array, "m m"], seen: Bool[Array, "m"]):
    """(the law given y = H x + e, e ~ N(0, R), of the entries seen, the log densities of y entry by entry; 0 for one spent on
    a diffuse direction), one decorrelated entry after another (Durbin & Koopman 2012, section 6.4,
    doi:10.1093/acprof:oso/9780199641178.001.0001)."""
    unit, noise = _decorrelated(r)
    return jax.lax.scan(_scalar, law, (lower_solve(unit, h), lower_solve(unit, y[:, None])[:, 0], noise, seen))
