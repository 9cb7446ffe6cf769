"""How well an approximation of a posterior covers it."""

import equinox as eqx
import jax
import jax.numpy as jnp
from blackjax.util import psis_weights

from filterlearn.posteriors.base import Drawn

_BATCH = 64  # draws filtered side by side


def approximated(target, draws, log_q, attributes=None) -> Drawn:
    """Draws `(chains, draws, p)` of an approximation with log density `log_q`, weighed against the target by Pareto-smoothed
    importance sampling (Vehtari, Simpson, Gelman, Yao & Gabry 2024, arXiv:1507.02646).

    Statistics `lp` and `log_q`; attributes `elbo`, the mean of their difference, `log_evidence`, the log of the mean of its
    exponential, and `pareto_k`: above .7 the approximation misses part of the posterior.
    """
    level, elbo, evidence, k = _weighed(target, draws, log_q)
    told = {"elbo": elbo, "log_evidence": evidence, "pareto_k": k}
    return Drawn(draws, {"lp": level, "log_q": log_q}, told | (attributes or {}))


@eqx.filter_jit
def _weighed(target, draws, log_q):
    level = levels_of(target, draws)
    ratios = (level - log_q).ravel()
    evidence = jax.nn.logsumexp(ratios) - jnp.log(len(ratios))
    return level, jnp.mean(ratios), evidence, smoothed(ratios)[1]


def smoothed(ratios):
    """(log weights that sum to 1, Pareto k) of log density ratios `(n,)`; a theta that breaks the model weighs nothing."""
    sound = jnp.isfinite(ratios)
    lowest = jnp.min(ratios, where=sound, initial=jnp.max(ratios))
    weights, k = psis_weights(jnp.where(sound, ratios, lowest))
    return jax.nn.log_softmax(jnp.where(sound, weights, -jnp.inf)), k


@eqx.filter_jit
def levels_of(density, draws):
    """The log density of every draw, `(chains, draws)`."""
    return jax.lax.map(density, draws.reshape(-1, draws.shape[-1]), batch_size=_BATCH).reshape(draws.shape[:2])
