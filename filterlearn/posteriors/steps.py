"""How far halving the step would move a posterior."""

import equinox as eqx
import jax
import jax.numpy as jnp

from filterlearn.diagnostics.step_size import StepSizeReport, example, finer
from filterlearn.protocol import scan

_DRAWS = 32


def posterior_steps(target, draws, *, key) -> StepSizeReport:
    """Means of the log evidences over 32 draws, at the step and at half of it, and the largest shift of a parameter's mean.

    The posterior at half the step is the one drawn from times exp(change of the log evidence), so that to first order in the
    change the mean of theta moves by Cov(theta, change): consistent in the number of draws. Each draw has a key of its own.
    """
    flat = draws.reshape(-1, draws.shape[-1])
    thetas = flat[jnp.linspace(0, len(flat) - 1, _DRAWS).astype(int)]
    coarse, fine = _levels(target, thetas, jax.random.split(key, _DRAWS))
    change, spread = fine - coarse, thetas.std(axis=0)
    products = (thetas - thetas.mean(axis=0)) / jnp.where(spread > 0, spread, 1.0) * (change - change.mean())[:, None]
    shifts, worst = products.mean(axis=0), jnp.argmax(jnp.abs(products.mean(axis=0)))
    error = jnp.std(jnp.stack([change, products[:, worst]]), axis=1) / (_DRAWS - 1) ** 0.5
    steps = example(target.problem(flat[0])).transition.substeps
    return StepSizeReport(steps, *map(float, (coarse.mean(), fine.mean(), error[0], shifts[worst], error[1])))


@eqx.filter_jit
def _levels(target, thetas, keys):
    """The log evidences of each theta, at the step and at half of it."""

    def level(theta, key):
        problem = finer(target.problem(theta))
        fine = scan(target.algorithm, problem, target.data, target.gaps, key, lambda belief, info: info.log_evidence)[1]
        return jnp.sum(target.terms(theta, key)), jnp.sum(fine)

    return jax.vmap(level)(thetas, keys)
