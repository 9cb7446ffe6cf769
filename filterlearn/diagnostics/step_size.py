"""Is the step small enough?"""

import dataclasses
import warnings

import equinox as eqx
import jax
import jax.numpy as jnp

from filterlearn.models.base import StateSpaceModel
from filterlearn.models.family import BoundFamily, ModelFamily
from filterlearn.models.gaps import distinct_gaps
from filterlearn.models.transitions.base import AbstractStepping
from filterlearn.protocol import checked, scan

_KEYS = 32  # of a filter that draws: a log evidence of variance 1 gives the change a standard error of at most .25
_MOST = 1.0  # nats


@dataclasses.dataclass(frozen=True)
class StepSizeReport:
    """The log evidence at the steps given and at half the step; `steps` is what was given, `error` the standard error of the
    change (0 for a filter that draws no random numbers)."""

    steps: int
    coarse: float
    fine: float
    error: float = 0.0

    @property
    def change(self) -> float:
        """How far halving the step moves the log evidence, in nats."""
        return self.fine - self.coarse


def takes_steps(problem) -> bool:
    """Whether the model, or a family's model at the prior's median, has steps to halve."""
    return isinstance(_example(problem).transition, AbstractStepping)


def check_step_size(algorithm, problem, data, *, key=None) -> StepSizeReport:
    """Compares the log evidence at half the step, and warns when it moves by more than 1 nat.

    A filter that draws random numbers is run under 32 keys at both steps, and its change is the mean of the differences: it
    warns when the change exceeds 1 nat and three standard errors, and says that it cannot tell when three standard errors
    exceed 1 nat. `problem` is a model, `family(theta)`, or a family for a learner. A transition without steps (exact or
    discrete) is refused with TypeError.
    """
    transition = _example(problem).transition
    if not isinstance(transition, AbstractStepping):
        raise TypeError(f"problem: a transition with steps is needed, got {type(transition).__name__}, which has none")
    keys = None if key is None else jax.random.split(key, _KEYS)
    gaps = jax.tree.map(jnp.asarray, distinct_gaps(checked(data).times))
    coarse, fine = (_levels(algorithm, each, data, gaps, keys) for each in (problem, _finer(problem)))
    change = (fine - coarse) - (fine - coarse)[0]  # exactly 0 where no key is needed
    error = jnp.std(change) / max(len(change) - 1, 1) ** 0.5
    report = StepSizeReport(transition.substeps, float(coarse.mean()), float(fine.mean()), float(error))
    if words := _verdict(report):
        warnings.warn(f"steps={report.steps} {words}", stacklevel=2)
    return report


def _verdict(report):
    if not abs(report.change) <= max(_MOST, 3 * report.error):
        return f"is too coarse: halving it moves the log evidence by {report.change:.3g} nats"
    if 3 * report.error > _MOST:
        found = f"halving it moves the log evidence by {report.change:.2g} +- {report.error:.2g} nats"
        return f"cannot be judged: {found}; give the filter a larger size"
    return None


@eqx.filter_jit
def _levels(algorithm, problem, data, gaps, keys):
    """The log evidence under each key; work that needs none is done once."""

    def level(key):
        return jnp.sum(scan(algorithm, problem, data, gaps, key, lambda belief, info: info.log_evidence)[1])

    return level(None)[None] if keys is None else jax.vmap(level)(keys)


def _example(problem):
    return (problem(problem.median) if isinstance(problem, ModelFamily) else problem).resolve()


def _refined(model):
    return StateSpaceModel(model.initial, model.transition.refined(), model.observation)


def _finer(problem):
    if isinstance(problem, BoundFamily):
        return BoundFamily(problem.family.altered(_refined), problem.theta)
    return problem.altered(_refined) if isinstance(problem, ModelFamily) else _refined(problem)
