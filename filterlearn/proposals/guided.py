"""The locally optimal proposal."""

from filterlearn.proposals.base import AbstractConditioned
from filterlearn.quadratures.base import AbstractQuadrature


class Guided(AbstractConditioned):
    """Draws x_k from p(x_k | x_k-1, y_k) with the observation linearised about the transition's mean, to first order or by
    `rule` (`Unscented()`, `Cubature()`), and weighs by density times transition over proposal (Doucet, Godsill & Andrieu
    2000, doi:10.1023/A:1008935410038).

    Where the observation is linear Gaussian the weights are p(y_k | x_k-1), which no proposal improves on; otherwise the
    weights correct the linearisation, and the filter stays consistent, its evidence unbiased. The transition must be one
    substep of Gaussian law: `LinearSDE` or `LinearDiscrete` without jumps, `Discrete`, a scheme with `steps=1`. Raises
    TypeError otherwise: for several substeps use `ModifiedBridge`.
    """

    rule: AbstractQuadrature | None = None

    def check(self, model):
        """TypeError unless transition and observation are Gaussian, in one substep."""
        super().check(model)
        if model.transition.substeps != 1:
            raise TypeError(f"transition: Guided needs one substep, got {model.transition.substeps}; use ModifiedBridge()")
