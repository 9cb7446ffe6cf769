"""Is the step small enough?"""

import dataclasses
import warnings

import equinox as eqx
import jax
import jax.numpy as jnp

from filterlearn.data import checked
from filterlearn.models.base import StateSpaceModel
from filterlearn.models.family import BoundFamily, ModelFamily
from filterlearn.models.gaps import distinct_gaps
from filterlearn.protocol import scan

_KEYS = 32  # of a filter that draws: a log evidence of variance 1 gives the change a standard error of at most .25
_MOST = 1.0  # nats
_SHIFT = 0.25  # posterior sds: with steps halved for ever the mean moves by at most twice as much


@dataclasses.dataclass(frozen=True)
class StepSizeReport:
    """The log evidence at the steps given and at half the step; `steps` is what was given, `error` the standard error of the
    change (0 for a filter that draws no random numbers). From `fit`, means over draws of the posterior, and `shift`, the most
    posterior sds by which halving the step moves the mean of a parameter, with its standard error."""

    steps: int
    coarse: float
    fine: float
    error: float = 0.0
    shift: float = 0.0
    shift_error: float = 0.0

    @property
    def change(self) -> float:
        """How far halving the step moves the log evidence, in nats."""
        return self.fine - self.coarse


def takes_steps(problem) -> bool:
    """Whether the model, or a family's model at the prior's median, has steps to halve."""
    return example(problem).transition.refined() is not None


def check_step_size(algorithm, problem, data, *, key=None) -> StepSizeReport:
    """Compares the log evidence at half the step, and warns when it moves by more than 1 nat.

    A filter that draws random numbers is run under 32 keys at both steps, and its change is the mean of the differences: it
    warns when the change exceeds 1 nat and three standard errors, and says that it cannot tell when three standard errors
    exceed 1 nat. `problem` is a model, `family(theta)`, or a family for a learner. A transition without steps (exact or
    discrete) is refused with TypeError.
    """
    transition = example(problem).transition
    if transition.refined() is None:
        raise TypeError(f"problem: a transition with steps is needed, got {type(transition).__name__}, which has none")
    keys = None if key is None else jax.random.split(key, _KEYS)
    gaps = jax.tree.map(jnp.asarray, distinct_gaps(checked(data).times))
    coarse, fine = (_levels(algorithm, each, data, gaps, keys) for each in (problem, finer(problem)))
    change = (fine - coarse) - (fine - coarse)[0]  # exactly 0 where no key is needed
    error = jnp.std(change) / max(len(change) - 1, 1) ** 0.5
    report = StepSizeReport(transition.substeps, float(coarse.mean()), float(fine.mean()), float(error))
    warn_of(report)
    return report


def warn_of(report: StepSizeReport):
    """Warns in the caller's caller's name of what is wrong with the steps."""
    if words := objection(report.change, report.error, report.shift, report.shift_error):
        warnings.warn(f"steps={report.steps} is {words}", stacklevel=3)


def objection(change, error=0.0, shift=0.0, shift_error=0.0) -> str | None:
    """What is wrong with the steps of such a report, if anything is known to be."""
    if not abs(change) <= max(_MOST, 3 * error):
        return f"too coarse: halving it moves the log evidence by {change:.3g} nats"
    if abs(shift) > max(_SHIFT, 3 * shift_error):
        return f"too coarse: halving it moves a parameter by {abs(shift):.2g} posterior sds"
    if 3 * error > _MOST:
        found = f"halving it moves the log evidence by {change:.2g} +- {error:.2g} nats"
        return f"not judged: {found}; give the filter a larger size"
    return None


@eqx.filter_jit
def _levels(algorithm, problem, data, gaps, keys):
    """The log evidence under each key; work that needs none is done once."""

    def level(key):
        return jnp.sum(scan(algorithm, problem, data, gaps, key, lambda belief, info: info.log_evidence)[1])

    return level(None)[None] if keys is None else jax.vmap(level)(keys)


def example(problem):
    """The model, a family's at its prior's median."""
    return (problem(problem.median) if isinstance(problem, ModelFamily) else problem).resolve()


def _refined(model):
    return StateSpaceModel(model.initial, model.transition.refined(), model.observation)


def finer(problem):
    """The model, bound family or family with half the step."""
    if isinstance(problem, BoundFamily):
        return BoundFamily(problem.family.altered(_refined), problem.theta)
    return problem.altered(_refined) if isinstance(problem, ModelFamily) else _refined(problem)
