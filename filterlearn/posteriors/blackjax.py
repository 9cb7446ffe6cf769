"""The no-U-turn sampler of BlackJAX."""

import blackjax
import equinox as eqx
import jax

from filterlearn.posteriors.base import AbstractMethod, Drawn, log_density, tree_depth, warn_of_noise


class NUTS(AbstractMethod):
    """The no-U-turn sampler of BlackJAX with window adaptation, chains vectorised (Hoffman & Gelman 2014,
    arXiv:1111.4246).

    Exact for the evidence that it is given, once converged: for a filter that draws random numbers that is the evidence at
    one fixed key, whose noise moves the posterior, and whose derivative may be mostly noise, which a warning then says;
    `ParticleMCMC` is free of both.
    """

    warmup: int = eqx.field(static=True, default=500)
    draws: int = eqx.field(static=True, default=1000)
    chains: int = eqx.field(static=True, default=4)

    def draw(self, target, start, scale, *, key):
        """Adapts and samples every chain in one compiled call."""
        warn_of_noise(target, start[0])
        return Drawn(*_sample(self, target, start, scale, jax.random.split(key, self.chains)))


@eqx.filter_jit
def _sample(method, target, start, scale, keys):
    kernel = blackjax.nuts.build_kernel()

    def density(theta):
        return log_density(theta, target)

    def chain(position, key):
        first, second = jax.random.split(key)
        adaptation = blackjax.window_adaptation(blackjax.nuts, density, initial_inverse_mass_matrix=scale**2)
        (state, tuned), _ = adaptation.run(first, position, method.warmup)  # ty: ignore[too-many-positional-arguments]

        def one(state, key):
            state, info = kernel(key, state, density, **tuned)
            statistics = {
                "diverging": info.is_divergent,
                "acceptance_rate": info.acceptance_rate,
                "lp": state.logdensity,
                "energy": info.energy,
                "n_steps": info.num_integration_steps,
                "tree_depth": tree_depth(info.num_integration_steps),
                "step_size": tuned["step_size"],
            }
            return state, (state.position, statistics)

        return jax.lax.scan(one, state, jax.random.split(second, method.draws))[1]

    return jax.vmap(chain)(start, keys)
