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
    lowest = jnp.min(ratios, where=jnp.isfinite(ratios), initial=jnp.max(ratios))
    k = psis_weights(jnp.where(jnp.isfinite(ratios), ratios, lowest))[1]
    return level, jnp.mean(ratios), evidence, k


@eqx.filter_jit
def levels_of(density, draws):
    """The log density of every draw, `(chains, draws)`."""
    return jax.lax.map(density, draws.reshape(-1, draws.shape[-1]), batch_size=_BATCH).reshape(draws.shape[:2])
