"""Is the step small enough?"""

import dataclasses
import warnings

from filterlearn.models.base import StateSpaceModel
from filterlearn.models.transitions.base import AbstractStepping
from filterlearn.protocol import log_evidence


@dataclasses.dataclass(frozen=True)
class StepSizeReport:
    """The log evidence at the steps given and at half the step; `steps` is what was given."""

    steps: int
    coarse: float
    fine: float

    @property
    def change(self) -> float:
        """How far halving the step moves the log evidence, in nats."""
        return self.fine - self.coarse


def check_step_size(algorithm, problem, data, *, key=None) -> StepSizeReport:
    """Compares the log evidence at half the step, and warns when it moves by more than 1 nat.

    Sampling filters use the same key for both; their own noise is part of the change. A transition without steps (exact or
    discrete) is refused with TypeError.
    """
    model = problem.resolve()
    if not isinstance(model.transition, AbstractStepping):
        raise TypeError(f"problem: a transition with steps is needed, got {type(model.transition).__name__}, which has none")
    finer = StateSpaceModel(model.initial, model.transition.refined(), model.observation)
    coarse, fine = (float(log_evidence(algorithm, each, data, key=key)) for each in (model, finer))
    report = StepSizeReport(model.transition.substeps, coarse, fine)
    if not abs(report.change) <= 1:
        steps = report.steps
        warnings.warn(
            f"steps={steps} is too coarse: halving it moves the log evidence by {report.change:.3g} nats", stacklevel=2
        )
    return report
