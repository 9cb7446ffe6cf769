"""What a smoother does, and the driver."""

import abc
from typing import Any

import equinox as eqx

from filterlearn.beliefs.base import AbstractBelief, AbstractSeries
from filterlearn.protocol import Trajectory


class Smoothed(AbstractSeries):
    """Beliefs given all the data, with time on the first axis, and the data."""

    beliefs: Any
    data: Any


class AbstractSmoother(eqx.Module):
    """How filtered beliefs are revised by the data after them."""

    @abc.abstractmethod
    def backward(self, problem, beliefs, data, *, key):
        """The smoothed beliefs, from the filtered ones (time first)."""


@eqx.filter_jit
def _smooth(smoother, problem, beliefs, data, key):
    return smoother.backward(problem, beliefs, data, key=key)


def smooth(smoother, problem, trajectory, *, key=None) -> Smoothed:
    """p(x_k | y_1..T) at each time of a trajectory that `run` made without `save`.

    Raises TypeError when the trajectory does not hold its beliefs.
    """
    kept = isinstance(trajectory, Trajectory) and isinstance(trajectory.saved, tuple)
    if not kept or not isinstance(trajectory.saved[0], AbstractBelief):
        raise TypeError("trajectory: the beliefs are needed; take what run(...) returns without `save`")
    return Smoothed(_smooth(smoother, problem, trajectory.beliefs, trajectory.data, key), trajectory.data)
