"""How a parameter moves, on the unconstrained scale."""

import abc

import equinox as eqx


class AbstractDynamics(eqx.Module):
    """The Gaussian law of theta after a gap, entry by entry."""

    @abc.abstractmethod
    def moments(self, theta, gap, centre):
        """Mean and standard deviation of theta after `gap` units of time; `centre` is the prior's median."""
