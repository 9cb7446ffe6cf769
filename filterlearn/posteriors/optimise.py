"""The top of a density, and its curvature there."""

import warnings
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax

from filterlearn.diagnostics.excitation import in_words
from filterlearn.numerics.small import cholesky, lower_solve, symmetric
from filterlearn.posteriors.base import log_density

_FLAT = 1e-4  # curvature, by squared first guesses of the sds, below which the data do not tell of a direction
_SHORT = 0.01  # nats below the top from which a climb has not arrived


class Peak(NamedTuple):
    """The highest top found: theta `(p,)`, the log density there, the lower factor of minus the inverse Hessian, the nats
    that a quadratic has still to climb, and the log density that each start reached."""

    theta: Any
    level: Any
    factor: Any
    short: Any
    reached: Any


def peak(density, start, scale, steps, entries) -> Peak:
    """L-BFGS from every start (Liu & Nocedal 1989, doi:10.1007/BF01589116), in units of `scale`, then the curvature of the
    highest top.

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
    return z * scale, jnp.max(reached), _to_climb(curvature, slope), reached, curvature


def _to_climb(curvature, slope):
    """g' H^-1 g / 2, of directions that curve."""
    floor = _FLAT * jnp.eye(len(slope), dtype=slope.dtype)
    white = lower_solve(cholesky(curvature + floor), slope[:, None])
    return 0.5 * jnp.sum(white**2)


def _minimum(loss, z, steps):
    """L-BFGS until the slope is rounding, or nothing moves."""
    optimiser = optax.lbfgs()
    step = optax.value_and_grad_from_state(loss)
    tolerance = jnp.finfo(z.dtype).eps ** 0.5

    def unfinished(carry):
        _, (value, slope, moved), _, count = carry
        return (count < steps) & moved & (jnp.max(jnp.abs(slope)) > tolerance * jnp.maximum(jnp.abs(value), 1.0))

    def one(carry):
        z, _, state, count = carry
        value, slope = step(z, state=state)
        update, state = optimiser.update(slope, state, z, value=value, grad=slope, value_fn=loss)
        new = optax.apply_updates(z, update)
        return new, (value, slope, jnp.any(new != z)), state, count + 1

    begun = z, (jnp.ones_like(z[0]), jnp.full_like(z, jnp.inf), jnp.array(True)), optimiser.init(z), 0
    return jax.lax.while_loop(unfinished, one, begun)[0]
