"""How a belief is let go towards a prior."""

import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from filterlearn.numerics.small import cholesky, lower_solve, safe_sqrt, semidefinite_factor


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
    others: Int[Array, "o"],
    index: Int[Array, "f"],
    centre: Float[Array, "f"],
    sd: Float[Array, "f"],
    kept: Float[Array, "f"],
    fresh: Float[Array, "f"],
) -> tuple[Float[Array, "n n"], Float[Array, "n"], Float[Array, "n f"]]:
    """The map z -> A z + b + C e, e ~ N(0, I), that lets the entries `index` (a) of a Gaussian z go towards their prior.
    Given the entries `others` (b), a ~ N(mu, V) becomes N(mu', V') with

        V'^-1 = D^1/2 V^-1 D^1/2 + (I - D) S^-2,    mu' = mu + V' (I - D) S^-2 (m0 - mu),

    p(a | b)^lambda p0(a)^(1 - lambda) when D = diag(`kept`) is lambda I; m0 = `centre`, S = diag(`sd`). The law of b stays,
    and that of all the rest given (a, b). In factors, with V = L L', M = D^-1/2 L and G G' = I + M' (I - D) S^-2 M:
    V' = F F' with F = M G^-T, and a' = mu' + F ((1 - w)^1/2 L^-1 (a - mu) + w^1/2 e), of which the part w = `fresh` is drawn
    afresh. Nothing is inverted that may be singular; a direction without spread stays. D = I, w = 0 change nothing, exactly.
    """
    both, o = jnp.concatenate([others, index]), others.shape[0]
    factor, whiten = _factor(covariance[both][:, both])
    across, own = factor[o:, :o], factor[o:, o:]
    kept = jnp.maximum(kept, jnp.finfo(kept.dtype).tiny ** 0.5)  # a gap without end forgets all that can be told
    wide, drawn = own / jnp.sqrt(kept)[:, None], (1.0 - kept) / sd**2
    inner = cholesky(jnp.eye(index.shape[0], dtype=kept.dtype) + wide.T @ (drawn[:, None] * wide))
    new = lower_solve(inner, wide.T).T
    pull = (new @ new.T) * drawn
    stretch = jnp.concatenate([-pull @ across, new * jnp.sqrt(1.0 - fresh) - own], axis=1) @ whiten
    shift = pull @ (centre - mean[index]) - stretch @ mean[both]
    slope = (covariance[:, both] @ whiten.T @ whiten)[:, o:]
    slope = slope.at[both].set(jnp.eye(both.shape[0], dtype=kept.dtype)[:, o:])
    matrix = jnp.eye(mean.shape[0], dtype=kept.dtype).at[:, both].add(slope @ stretch)
    return matrix, slope @ shift, slope @ (new * safe_sqrt(fresh))
