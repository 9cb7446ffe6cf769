"""How the score of a filter's evidence is carried along with its belief."""

import abc
from typing import Any, NamedTuple

import equinox as eqx
from jaxtyping import Array, Float

from filterlearn.protocol import Info


class Scored(NamedTuple):
    """What a datum told of theta: the filter's Info, the score d log p(y_k | y_1..k-1) / d theta `(p,)`, and B `(p, k)` with
    B B' its Fisher information, given the data before it."""

    info: Info
    score: Float[Array, "p"]
    factor: Float[Array, "p k"]


class AbstractScore(eqx.Module):
    """What is carried beside the belief of a filter at theta, so that each datum tells its score. The belief and its Info are
    those of the filter itself."""

    @abc.abstractmethod
    def check(self, filter) -> None:
        """TypeError for a filter whose score this is not."""

    @abc.abstractmethod
    def init(self, filter, family, theta, *, key) -> tuple[Any, Any]:
        """(the filter's start, what is carried)."""

    @abc.abstractmethod
    def predict(self, filter, family, theta, state, carried, time, inputs, *, key) -> tuple[Any, Any]:
        """(the filter's prediction, what is carried)."""

    @abc.abstractmethod
    def update(self, filter, family, theta, state, carried, datum, *, key) -> tuple[Any, Any, Scored]:
        """(the filter's belief after a datum, what is carried, what it told)."""

    def step(self, filter, family, theta, state, carried, datum, *, keys) -> tuple[Any, Any, Scored]:
        """Both in one."""
        first, second = keys
        ahead = self.predict(filter, family, theta, state, carried, datum.time, datum.inputs, key=first)
        return self.update(filter, family, theta, *ahead, datum, key=second)
