"""Stochastic variational inference with the guides of NumPyro."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist
import optax
from numpyro.handlers import seed
from numpyro.infer.autoguide import AutoMultivariateNormal
from numpyro.infer.util import log_density as joint_density

from filterlearn.clock import whole
from filterlearn.posteriors.base import AbstractMethod, log_density, warn_of_noise
from filterlearn.posteriors.condition import factor
from filterlearn.posteriors.importance import approximated

_TOLD = 20  # parts of the run whose mean bound is told


class SVI(AbstractMethod):
    """The law of a family of laws that is nearest to the posterior: ascent of the evidence lower bound E_q[log p(y, theta) -
    log q(theta)] by reparametrised gradients (Kucukelbir, Tran, Ranganath, Gelman & Blei 2017, arXiv:1603.00788).

    `guide` makes q from a NumPyro model: any of `numpyro.infer.autoguide` that is continuous, such as `AutoNormal`
    (mean-field), `AutoMultivariateNormal`, `AutoLowRankMultivariateNormal` or the flows; in units of the first guess of the
    posterior's sds, about the likeliest start. `optimiser` is any of optax; None is Adam, its steps falling from .05 to 0 on
    a cosine. Biased, by what q cannot be. Each chain is a run of its own, so that R-hat tells of runs that ended apart;
    attribute `bound`: the mean bound over each twentieth of the run, all runs together, and those of `importance`.
    """

    guide: Callable = eqx.field(static=True, default=AutoMultivariateNormal)
    optimiser: Any = eqx.field(static=True, default=None)
    steps: int = eqx.field(static=True, default=2000)
    particles: int = eqx.field(static=True, default=8)
    draws: int = eqx.field(static=True, default=1000)
    chains: int = eqx.field(static=True, default=2)

    def __check_init__(self):
        whole("steps", self.steps, _TOLD)
        whole("particles", self.particles, 1)

    def draw(self, target, start, scale, *, key):
        """Every run in one compiled call."""
        warn_of_noise(target, start[0])
        draws, log_q, losses = _runs(self, target, start[0], scale, jax.random.split(key, self.chains))
        return approximated(target, draws, log_q, {"bound": -losses})


@eqx.filter_jit
def _runs(method, target, centre, scale, keys):
    def model():
        z = numpyro.sample("z", dist.ImproperUniform(dist.constraints.real_vector, (), scale.shape))
        factor("log_density", log_density(centre + scale * z, target))

    begin = numpyro.infer.init_to_value(values={"z": jnp.zeros_like(scale)})
    guide = method.guide(model, init_loc_fn=begin)
    optimiser = method.optimiser or optax.adam(optax.cosine_decay_schedule(0.05, method.steps))
    svi = numpyro.infer.SVI(model, guide, optimiser, numpyro.infer.Trace_ELBO(method.particles))

    def one(key):
        first, second = jax.random.split(key)
        state, losses = jax.lax.scan(lambda s, _: svi.stable_update(s), svi.init(first), length=method.steps)
        fitted = svi.get_params(state)

        def drawn(own):
            log_q, trace = joint_density(seed(guide, own), (), {}, fitted)
            return centre + scale * trace["z"]["value"], log_q - jnp.sum(jnp.log(scale))

        draws, log_q = jax.vmap(drawn)(jax.random.split(second, method.draws))
        return draws, log_q, losses[: method.steps // _TOLD * _TOLD].reshape(_TOLD, -1).mean(1)

    draws, log_q, losses = jax.vmap(one)(keys)
    return draws, log_q, losses.mean(0) - jnp.sum(jnp.log(scale))
