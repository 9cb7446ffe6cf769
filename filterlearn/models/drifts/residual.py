"""What is known, and a network for what is not."""

from typing import Any

from filterlearn.models.drifts.base import AbstractDrift


class ResidualDrift(AbstractDrift):
    """f = known(t, x, u) + correction(t, x, u): a universal differential equation (Rackauckas et al. 2020, arXiv:2001.04385).

    `known` is a function or a module, whose arrays are learned too; `correction` is another drift, such as
    `NetworkDrift(states, scale=.1, pull=0., key=key)`, small at first. Guarantees nothing that its parts do not. Raises
    TypeError where either is not a function.
    """

    known: Any
    correction: Any

    def __check_init__(self):
        for name in ("known", "correction"):
            if not callable(given := getattr(self, name)):
                raise TypeError(f"{name}: a function (t, x, u) is needed, got {type(given).__name__}")

    def __call__(self, t, x, u):
        return self.known(t, x, u) + self.correction(t, x, u)
