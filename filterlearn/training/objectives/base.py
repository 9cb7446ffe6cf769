"""What training makes small."""

import abc
from collections.abc import Callable

import equinox as eqx
from jaxtyping import Array, Float

from filterlearn.diagnostics.step_size import finer, takes_steps


class AbstractObjective(eqx.Module):
    """A loss of a module on one series. What the objective itself holds is not trained."""

    @abc.abstractmethod
    def loss(self, module, series, key) -> Float[Array, ""]:
        """The loss on one series, to be made small; the same key gives the same loss."""

    def finer(self, module):
        """The same objective at a quarter of the solver's step, for the report of `train`; None where there are no steps."""
        return None  # noqa: RET501


class _Quartered(eqx.Module):
    """`build`, its model with a quarter of the step."""

    build: Callable

    def __call__(self, module):
        return finer(finer(self.build(module)))


def quartered(build, module) -> _Quartered | None:
    """`build` at a quarter of the step, or None where what it builds of the module has no steps."""
    return _Quartered(build) if takes_steps(build(module)) else None
