"""The posterior of a family's parameters over a whole series, from the evidence of a filter."""

import abc
import warnings

import arviz as az
import blackjax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from numpyro.infer import MCMC
from numpyro.infer import NUTS as NumPyroKernel

from filterlearn.diagnostics.results import times_of
from filterlearn.models.family import ModelFamily
from filterlearn.protocol import checked, log_evidence, run


class AbstractMethod(eqx.Module):
    """How draws are made from a log-density over the unconstrained vector."""

    @abc.abstractmethod
    def draw(self, log_density, start, scale, *, key):
        """(draws `(chains, draws, p)`, sample statistics by name) from the starting points `(chains, p)`, for a
        log_density(theta, key=None) whose None is one key for the whole fit; `scale` is the prior's sd."""


class NUTS(AbstractMethod):
    """The no-U-turn sampler of BlackJAX with window adaptation, chains vectorised (Hoffman & Gelman 2014,
    arXiv:1111.4246). Exact for the evidence that it is given, once converged."""

    warmup: int = eqx.field(static=True, default=500)
    draws: int = eqx.field(static=True, default=1000)
    chains: int = eqx.field(static=True, default=4)

    def draw(self, log_density, start, scale, *, key):
        """Adapts and samples every chain in one compiled call."""
        kernel = blackjax.nuts.build_kernel()

        def chain(position, k):
            first, second = jax.random.split(k)
            adapt = blackjax.window_adaptation(blackjax.nuts, log_density)
            (state, tuned), _ = adapt.run(first, position, self.warmup)  # ty: ignore[too-many-positional-arguments]

            def one(s, each):
                s, info = kernel(each, s, log_density, **tuned)
                return s, (s.position, info.is_divergent, info.acceptance_rate, info.num_integration_steps)

            return jax.lax.scan(one, state, jax.random.split(second, self.draws))[1]

        out = jax.jit(jax.vmap(chain))(start, jax.random.split(key, self.chains))
        return out[0], dict(zip(("diverging", "acceptance_rate", "n_steps"), out[1:], strict=True))


class NumPyroNUTS(AbstractMethod):
    """The no-U-turn sampler of NumPyro, chains vectorised (Phan, Pradhan & Jankowiak 2019, arXiv:1912.11554)."""

    warmup: int = eqx.field(static=True, default=500)
    draws: int = eqx.field(static=True, default=1000)
    chains: int = eqx.field(static=True, default=4)

    def draw(self, log_density, start, scale, *, key):
        """One MCMC object for each fit."""
        kernel = NumPyroKernel(potential_fn=lambda theta: -log_density(theta))
        sizes = {"num_warmup": self.warmup, "num_samples": self.draws, "num_chains": self.chains}
        mcmc = MCMC(kernel, chain_method="vectorized", progress_bar=False, **sizes)
        mcmc.run(key, init_params=start if self.chains > 1 else start[0], extra_fields=("diverging", "accept_prob"))
        fields = mcmc.get_extra_fields(group_by_chain=True)
        statistics = {"diverging": fields["diverging"], "acceptance_rate": fields["accept_prob"]}
        return mcmc.get_samples(group_by_chain=True), statistics


class ParticleMCMC(AbstractMethod):
    """Particle marginal Metropolis-Hastings: a random walk over theta with a fresh estimate of the evidence at each proposal
    (Andrieu, Doucet & Holenstein 2010, doi:10.1111/j.1467-9868.2009.00736.x).

    Exact for any number of particles when exp(evidence) is unbiased (`ParticleFilter`), fastest when the log-evidence
    has a variance near 1. The proposal's covariance is learned in the warmup only (Haario et al. 2001,
    doi:10.2307/3318737) and scaled to accept a quarter.
    """

    warmup: int = eqx.field(static=True, default=1000)
    draws: int = eqx.field(static=True, default=2000)
    chains: int = eqx.field(static=True, default=4)

    def draw(self, log_density, start, scale, *, key):
        """Every chain in one compiled call."""
        size = start.shape[1]

        def chain(theta, k):
            def one(carry, i):
                theta, level, mean, covariance, log_step = carry
                first, second, third = jax.random.split(jax.random.fold_in(k, i), 3)
                step = jnp.exp(log_step) * jnp.linalg.cholesky(covariance) @ jax.random.normal(first, (size,), theta.dtype)
                proposed = log_density(theta + step, second)
                accept = jnp.log(jax.random.uniform(third)) < proposed - level
                theta, level = jnp.where(accept, theta + step, theta), jnp.where(accept, proposed, level)
                gain = jnp.where(i < self.warmup, (i + 20.0) ** -0.7, 0.0)
                error = theta - mean
                covariance = covariance + gain * (jnp.outer(error, error) - covariance)
                new = (theta, level, mean + gain * error, covariance, log_step + gain * (accept - 0.25))
                return jax.tree.map(lambda a, b: jnp.asarray(b, a.dtype), carry, new), (theta, accept, level)

            begin = log_density(theta, jax.random.fold_in(k, 2**31 - 1))
            first = (theta, begin, theta, jnp.diag((0.5 * scale) ** 2), jnp.log(2.4 / jnp.sqrt(size)).astype(theta.dtype))
            return jax.lax.scan(one, first, jnp.arange(self.warmup + self.draws))[1]

        out = jax.jit(jax.vmap(chain))(start, jax.random.split(key, self.chains))
        kept, accepted, level = (part[:, self.warmup :] for part in out)
        return kept, {"acceptance_rate": accepted.astype(float), "lp": level}


def fit(family, data, algorithm, method=None, *, start=None, key) -> xr.DataTree:
    """Draws from p(theta | y_1..T) with the evidence of a plain filter, as one DataTree.

    Groups: `posterior` (constrained, by name), `sample_stats`, `log_likelihood` (y: the one-step terms for each draw and
    time), `observed_data`. Moving parameters are treated as static, with a warning that names them. A filter that needs a
    key uses one fixed key for the whole fit (particle MCMC draws its own).
    `start`, unconstrained draws such as `belief.parameters.sample(n, key=...)` of a learner, warm-starts the chains and
    scales their proposals. Raises TypeError when `family` is not a ModelFamily.
    """
    if not isinstance(family, ModelFamily):
        raise TypeError(f"family: a ModelFamily is needed, got {type(family).__name__}")
    data, method = checked(data), NUTS() if method is None else method
    if moving := family.moving:
        warnings.warn(f"fit treats the moving parameters {list(moving)} as static", stacklevel=2)
    first, second, third = jax.random.split(key, 3)

    def log_density(theta, key=None):
        own = first if key is None else key
        total = log_evidence(algorithm, family(theta), data, key=own) + family.log_prior(theta)
        return jnp.where(jnp.isfinite(total), total, -1e30)

    begin, scale = _start(family, method.chains, start, second)
    draws, statistics = method.draw(log_density, begin, scale, key=third)
    return _datatree(family, data, algorithm, draws, statistics, first)


def _start(family, chains, start, key):
    """A starting point for each chain, and the scale of the target: from the draws given, else around the prior's median."""
    if start is None:
        return family.median + 0.5 * family.sd * jax.random.normal(key, (chains, family.size)), family.sd
    start = jnp.asarray(start)
    if start.ndim != 2 or start.shape[1] != family.size:
        raise ValueError(f"start: draws of shape (n, {family.size}) are needed, got {start.shape}")
    return start[jax.random.randint(key, (chains,), 0, start.shape[0])], start.std(axis=0)


def _datatree(family, data, algorithm, draws, statistics, key):
    @jax.jit
    def terms(theta):
        return run(algorithm, family(theta), data, key=key, save=lambda _, info: info.log_evidence).saved

    flat = draws.reshape(-1, draws.shape[-1])
    likelihood = jax.lax.map(terms, flat, batch_size=64).reshape(*draws.shape[:2], len(data))
    groups = {
        "posterior": jax.vmap(jax.vmap(family.constrain))(draws),
        "sample_stats": statistics,
        "log_likelihood": {"y": likelihood},
        "observed_data": {"y": data.values},
    }
    groups = {g: {name: np.asarray(v) for name, v in variables.items()} for g, variables in groups.items()}
    groups["log_likelihood"]["y"] = groups["log_likelihood"]["y"][..., None]
    dims = {"y": ["time", "sensor"]}
    sensors = np.arange(data.values.shape[1])
    if len(sensors) > 1:
        groups["log_likelihood"]["joint"] = groups["log_likelihood"].pop("y")[..., 0]
        dims["joint"] = ["time"]
    return az.from_dict(groups, coords={"time": times_of(data), "sensor": sensors}, dims=dims)
