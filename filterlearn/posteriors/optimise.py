"""The top of a density, and its curvature there."""

import warnings
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax

from filterlearn.diagnostics.excitation import in_words
from filterlearn.numerics.small import cholesky, lower_solve, symmetric, upper_solve
from filterlearn.posteriors.base import log_density

_FLAT = 1e-4  # curvature, by squared first guesses of the sds, below which the data do not tell of a direction
_PROMISED = 1e-6  # nats that a step is to promise; Newton's step makes up for what is left
_SHORT = 0.01  # nats below the top from which a climb has not arrived


class Peak(NamedTuple):
    """The highest top found: theta `(p,)`, the log density there, the lower factor of minus the inverse Hessian, the nats
    that Newton's step was to climb, and the log density that each start reached."""

    theta: Any
    level: Any
    factor: Any
    short: Any
    reached: Any


def peak(density, start, scale, steps, entries) -> Peak:
    """L-BFGS from every start (Liu & Nocedal 1989, doi:10.1007/BF01589116), in units of `scale`, then the curvature of the
    highest top, and one step of Newton's.

    Warns when the climb stopped short of the top, and where the density is flat: there the sd is set to 100 `scale`. Raises
    ValueError where it has no finite curvature.
    """
    theta, level, short, reached, curvature = _climbed(density, start, scale, steps)
    if not np.isfinite(curvature).all():
        raise ValueError(f"family: the density has no finite curvature at its top, log density {level:.6g}; take a sampler")
    values, directions = np.linalg.eigh(np.asarray(curvature))
    if not short <= _SHORT:
        warnings.warn(f"the climb ended {short:.2g} nats below a top; take more steps than {steps}, or others", stacklevel=4)
    if flat := [in_words(row, entries) for row in directions.T[values < _FLAT]]:
        warnings.warn(
            f"the density is flat along {flat}, in units of the prior's sds: the data do not tell of it; "
            "fix a parameter, or narrow a prior",
            stacklevel=4,
        )
    factor = np.asarray(scale)[:, None] * directions / np.sqrt(np.maximum(values, _FLAT))
    return Peak(theta, level, jnp.linalg.cholesky(jnp.asarray(factor @ factor.T, theta.dtype)), short, reached)


@eqx.filter_jit
def _climbed(density, start, scale, steps):
    """(theta, level, nats below the top, the level each start reached, minus the Hessian in units of scale)."""

    def loss(z):
        value = -log_density(z * scale, density)
        return jnp.where(jnp.isfinite(value), value, jnp.finfo(value.dtype).max)

    ends = jax.vmap(lambda z: _minimum(loss, z, steps))(start / scale)
    reached = -jax.vmap(loss)(ends)
    z = ends[jnp.argmax(reached)]
    slope = jax.grad(loss)(z)
    curvature = symmetric(jax.hessian(lambda z: -density(z * scale))(z))
    root = cholesky(curvature + _FLAT * jnp.eye(len(slope), dtype=slope.dtype))
    white = lower_solve(root, slope[:, None])
    last = z - upper_solve(root, white)[:, 0]  # Newton's step
    level = -loss(last)
    better = level > jnp.max(reached)
    return (
        jnp.where(better, last, z) * scale,
        jnp.where(better, level, jnp.max(reached)),
        0.5 * jnp.sum(white**2),
        reached,
        curvature,
    )


def _minimum(loss, z, steps):
    """L-BFGS until the slope is rounding, or a step promises next to nothing."""
    optimiser = optax.lbfgs()
    step = optax.value_and_grad_from_state(loss)
    tolerance = jnp.finfo(z.dtype).eps ** 0.5

    def unfinished(carry):
        _, (value, slope, change), _, count = carry
        steep = jnp.max(jnp.abs(slope)) > tolerance * jnp.maximum(jnp.abs(value), 1.0)
        return (count < steps) & (change < -_PROMISED) & steep

    def one(carry):
        z, _, state, count = carry
        value, slope = step(z, state=state)
        update, state = optimiser.update(slope, state, z, value=value, grad=slope, value_fn=loss)
        return optax.apply_updates(z, update), (value, slope, optax.tree.vdot(slope, update)), state, count + 1

    begun = z, (jnp.ones_like(z[0]), jnp.full_like(z, jnp.inf), jnp.full_like(z[0], -jnp.inf)), optimiser.init(z), 0
    return jax.lax.while_loop(unfinished, one, begun)[0]
