"""The parameters under which the data are likeliest."""

import equinox as eqx
import jax
import jax.numpy as jnp

from filterlearn.clock import whole
from filterlearn.posteriors.base import AbstractMethod, Drawn, Target, warn_of_noise
from filterlearn.posteriors.importance import levels_of
from filterlearn.posteriors.optimise import peak


class _Likelihood(eqx.Module):
    """The target without its prior."""

    target: Target

    def __call__(self, theta):
        total = jnp.sum(self.target.terms(theta))
        return jnp.where(jnp.isfinite(total), total, -jnp.inf)


class MaximumLikelihood(AbstractMethod):
    """The maximum of log p(y_1..T | theta), theta*, with standard errors from minus the inverse Hessian there, I^-1 (Fisher
    1925, doi:10.1017/S0305004100009580); the priors only say where each of `chains` climbs starts.

    Consistent as the data grow and determine the parameters. The draws are of N(theta*, I^-1) on the unconstrained scale,
    the law of large samples: their spread is the confidence that the estimate deserves. Attributes: `estimate` and
    `standard_error` of each entry of the constrained parameters, by the delta method, in the order of `entries`,
    `log_likelihood`, `aic` = 2 p - 2 log_likelihood, and `reached`, what each start found.
    """

    draws: int = eqx.field(static=True, default=1000)
    chains: int = eqx.field(static=True, default=4)
    steps: int = eqx.field(static=True, default=500)

    def __check_init__(self):
        whole("steps", self.steps, 1)

    def draw(self, target, start, scale, *, key):
        """The maximum, then draws about it."""
        warn_of_noise(target, start[0])
        likelihood = _Likelihood(target)
        top = peak(likelihood, start, scale, self.steps, target.sampled.entries)
        noise = jax.random.normal(key, (self.chains, self.draws, scale.shape[0]), scale.dtype)
        draws = top.theta + noise @ top.factor.T
        told = _told(target.sampled, top) | {"aic": 2 * (scale.shape[0] - top.level), "reached": top.reached}
        return Drawn(draws, {"lp": levels_of(likelihood, draws)}, told)


def _told(family, top):
    """The estimate and its standard errors, constrained."""

    def values(theta):
        return jnp.concatenate([jnp.ravel(v) for v in family.constrain(theta).values()])

    errors = jnp.linalg.norm(jax.jacfwd(values)(top.theta) @ top.factor, axis=1)
    return {"estimate": values(top.theta), "standard_error": errors, "log_likelihood": top.level}
