"""Whether a module fits its equation, or the steps that it was trained with."""

import warnings
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from filterlearn.training.descent import mean_loss

_KEYS = 4
_MOST = 0.05
_FINER = 2**31 - 3  # folded into the key, like no number of a step


class StepEffect(eqx.Module):
    """The mean loss after training over a minibatch of series, at the step of the solver and at a quarter of it, and the
    standard error of their difference over four keys (0 for a loss that draws no random numbers)."""

    coarse: Any
    fine: Any
    error: Any

    @property
    def change(self):
        """How far the loss moves, as a share of it."""
        return (self.fine - self.coarse) / abs(self.coarse)


def finer_of(objective, module):
    """The objective at a quarter of the step, or None where it has no steps."""
    finer = getattr(objective, "finer", None)
    return None if finer is None else finer(module)


@eqx.filter_jit
def effect_of(objective, finer, weights, fixed, series, key) -> StepEffect:
    """The effect for these weights."""
    module = eqx.combine(weights, fixed)

    def both(key):
        return jnp.stack([mean_loss(each, module, series, key) for each in (objective, finer)])

    levels = jax.lax.map(both, jax.random.split(jax.random.fold_in(key, _FINER), _KEYS))
    change = levels[:, 1] - levels[:, 0]
    error = jnp.std(change - change[0]) / (_KEYS - 1) ** 0.5
    return StepEffect(*jnp.mean(levels, axis=0), error)


def warn_of(effect: StepEffect):
    """Warns, in the name of whoever trains, where the loss moves by more than 5 % and three standard errors."""
    coarse, fine, error = (np.atleast_1d(part) for part in (effect.coarse, effect.fine, effect.error))
    moved = ~(abs(fine - coarse) <= np.maximum(_MOST * abs(coarse), 3 * error))
    if moved.any():
        k = int(np.argmax(moved))
        who = "" if len(coarse) == 1 else f" (member {k}, one of {moved.sum()})"
        found = f"a quarter of it the loss is {fine[k]:.4g}, not {coarse[k]:.4g}{who}"
        warnings.warn(
            f"what was trained fits its step, not an equation: at {found}; give the transition more steps", stacklevel=4
        )
