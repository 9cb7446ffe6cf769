"""The no-U-turn sampler of NumPyro."""

import equinox as eqx
import jax
from numpyro.infer.hmc import hmc

from filterlearn.posteriors.base import AbstractMethod, Drawn, log_density, tree_depth, warn_of_noise


class NumPyroNUTS(AbstractMethod):
    """The no-U-turn sampler of NumPyro, chains vectorised (Phan, Pradhan & Jankowiak 2019, arXiv:1912.11554).

    NumPyro's kernel without its `MCMC` object, which compiles anew for each one made and fails when it is used again with
    new data. Exact in the sense of `NUTS`.
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
    def potential(theta):
        return -log_density(theta, target)

    def chain(position, key):
        init, sample = hmc(potential, algo="NUTS")
        state = init(position, method.warmup, inverse_mass_matrix=scale**2, rng_key=key)
        state = jax.lax.scan(lambda s, _: (sample(s), None), state, length=method.warmup)[0]

        def one(state, _):
            state = sample(state)
            statistics = {
                "diverging": state.diverging,
                "acceptance_rate": state.accept_prob,
                "lp": -state.potential_energy,
                "energy": state.energy,
                "n_steps": state.num_steps,
                "tree_depth": tree_depth(state.num_steps),
                "step_size": state.adapt_state.step_size,
            }
            return state, (state.z, statistics)

        return jax.lax.scan(one, state, length=method.draws)[1]

    return jax.vmap(chain)(start, keys)
