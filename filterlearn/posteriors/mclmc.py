"""Microcanonical trajectories of BlackJAX."""

import blackjax
import equinox as eqx
import jax
from blackjax.adaptation.mclmc_adaptation import MCLMCAdaptationState
from blackjax.mcmc import adjusted_mclmc_dynamic
from blackjax.mcmc.adjusted_mclmc_dynamic import make_random_trajectory_length_fn
from blackjax.mcmc.integrators import isokinetic_velocity_verlet

from filterlearn.posteriors.base import AbstractMethod, Drawn, log_density, warn_of_noise

_LENGTH = 4.0  # steps of a trajectory, on average
_ACCEPTED = 0.9  # to which the step is led
_STEP, _SPREAD = 0.3, 0.4  # shares of the warmup that tune the step, twice, and between them the scales


class MCLMC(AbstractMethod):
    """Microcanonical trajectories of BlackJAX, each accepted or not, chains vectorised: theta moves at a speed that is fixed,

        d theta = v dt,    dv = (I - v v') grad log p(theta) dt / (p - 1),    |v| = 1,

    a random number of steps on from a direction drawn anew (Robnik, De Luca, Silverstein & Seljak 2023, arXiv:2212.08549;
    with the acceptance Robnik, Cohn-Gordon & Seljak 2025, arXiv:2503.01707). The step and a scale for each parameter are
    tuned in the warmup.

    Exact in the sense of `NUTS`: the acceptance removes what a finite step would bias. For many parameters, whose gradients
    cost the most: four a draw, on average. Raises ValueError for a single parameter, whose direction cannot turn.
    """

    warmup: int = eqx.field(static=True, default=500)
    draws: int = eqx.field(static=True, default=1000)
    chains: int = eqx.field(static=True, default=4)

    def draw(self, target, start, scale, *, key):
        """Adapts and samples every chain in one compiled call."""
        if start.shape[1] < 2:
            raise ValueError("method: MCLMC needs two parameters or more, got one; use NUTS")
        warn_of_noise(target, start[0])
        return Drawn(*_sample(self, target, start, scale, jax.random.split(key, self.chains)))


@eqx.filter_jit
def _sample(method, target, start, scale, keys):
    kernel = adjusted_mclmc_dynamic.build_kernel(make_random_trajectory_length_fn(True), isokinetic_velocity_verlet)

    def density(theta):
        return log_density(theta, target)

    def chain(position, key):
        first, second, third = jax.random.split(key, 3)
        guess = MCLMCAdaptationState(1.0, 0.2 * position.size**0.5, scale**2)
        state, tuned, _ = blackjax.adjusted_mclmc_find_L_and_step_size(
            *(kernel, density, method.warmup, adjusted_mclmc_dynamic.init(position, density, first), second, _ACCEPTED),
            **{"frac_tune1": _STEP, "frac_tune2": _SPREAD, "params": guess, "target_num_integration_steps": _LENGTH},
        )

        def one(state, key):
            state, info = kernel(
                *(key, state, density, tuned.step_size),
                inverse_mass_matrix=tuned.inverse_mass_matrix,
                integration_steps_params=(tuned.L / tuned.step_size,),
            )
            statistics = {
                "diverging": info.is_divergent,
                "acceptance_rate": info.acceptance_rate,
                "lp": state.logdensity,
                "n_steps": info.num_integration_steps,
                "step_size": tuned.step_size,
            }
            return state, (state.position, statistics)

        return jax.lax.scan(one, state, jax.random.split(third, method.draws))[1]

    return jax.vmap(chain)(start, keys)
