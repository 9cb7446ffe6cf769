"""How a belief is let go towards a prior by an affine map."""

import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from filterlearn.numerics.small import cholesky, lower_solve, semidefinite_factor


def _factor(p: Float[Array, "f f"]):
    """L with L L' = P and a left inverse of it; the zero pivots are judged on the correlations, whatever the units."""
    sd = jnp.sqrt(jnp.maximum(jnp.diagonal(p), 0.0))
    sd = jnp.where(sd > 0, sd, 1.0)
    factor = semidefinite_factor(p / (sd[:, None] * sd))
    filled = factor + jnp.diag(jnp.where(jnp.diagonal(factor) > 0, 0.0, 1.0))
    whiten = lower_solve(filled, jnp.eye(p.shape[0], dtype=p.dtype)) / sd
    return sd[:, None] * factor, jnp.where(jnp.diagonal(factor) > 0, 1.0, 0.0)[:, None] * whiten


def forgetting_map(
    mean: Float[Array, "n"],
    covariance: Float[Array, "n n"],
    index: Int[Array, "f"],
    centre: Float[Array, "f"],
    sd: Float[Array, "f"],
    kept: Float[Array, "f"],
) -> tuple[Float[Array, "n n"], Float[Array, "n"]]:
    """The affine map z -> A z + b that takes a Gaussian belief about z to the one whose entries `index`, theta, have

        P'^-1 = D^1/2 P^-1 D^1/2 + (I - D) S^-2,    m' = m + P' (I - D) S^-2 (m0 - m),

    posterior^lambda x prior^(1 - lambda) when D = lambda I, while the law of the rest given theta stays. m, P are theta's
    moments, m0 = `centre` and S = diag(`sd`) the prior's, D = diag(`kept`). In factors, with P = L L', M = D^-1/2 L and
    G G' = I + M' (I - D) S^-2 M: P' = F F' with F = M G^-T, theta' = m' + F L^-1 (theta - m), so nothing is inverted that may
    be singular; a direction without spread stays. D = I gives A = I and b = 0 exactly.
    """
    m, p = mean[index], covariance[index][:, index]
    factor, whiten = _factor(p)
    kept = jnp.maximum(kept, jnp.finfo(p.dtype).tiny ** 0.5)  # a gap without end forgets all that can be told
    wide, drawn = factor / jnp.sqrt(kept)[:, None], (1.0 - kept) / sd**2
    inner = cholesky(jnp.eye(p.shape[0], dtype=p.dtype) + wide.T @ (drawn[:, None] * wide))
    new = lower_solve(inner, wide.T).T
    stretch = (new - factor) @ whiten
    shift = new @ (new.T @ (drawn * (centre - m))) - stretch @ m
    slope = (covariance[:, index] @ whiten.T @ whiten).at[index].set(jnp.eye(p.shape[0], dtype=p.dtype))
    matrix = jnp.eye(mean.shape[0], dtype=p.dtype).at[:, index].add(slope @ stretch)
    return matrix, slope @ shift
