"""What a form of a Gaussian offers its filters."""

import abc
from typing import NamedTuple

import equinox as eqx
from jaxtyping import Array, Bool, Float

from filterlearn.beliefs.gaussian import AbstractGaussianBelief


class Corrected(NamedTuple):
    """What a datum did: a lower factor of the observed innovations' covariance `(m, m)`, the predicted variances `(m,)`, the
    change of the mean `(n,)` and the spread after."""

    root: Float[Array, "m m"]
    variance: Float[Array, "m"]
    shift: Float[Array, "n"]
    spread: Float[Array, "n *k"]


class AbstractForm(eqx.Module):
    """How a covariance is held between a filter's steps: its `spread`, the covariance itself or a factor of it."""

    @abc.abstractmethod
    def of(self, covariance: Float[Array, "n n"]) -> Float[Array, "n *k"]:
        """The spread of a covariance."""

    @abc.abstractmethod
    def of_factor(self, factor: Float[Array, "n k"]) -> Float[Array, "n *k"]:
        """The spread of F F'."""

    @abc.abstractmethod
    def covariance(self, spread: Float[Array, "n *k"]) -> Float[Array, "n n"]:
        """The covariance of a spread."""

    @abc.abstractmethod
    def factor(self, spread: Float[Array, "n *k"]) -> Float[Array, "n n"]:
        """A lower factor of the covariance."""

    @abc.abstractmethod
    def moved(self, spread: Float[Array, "n n"], matrix: Float[Array, "k n"], noise) -> Float[Array, "k k"]:
        """The spread of A P A' + noise, from the spreads of P and of the noise."""

    @abc.abstractmethod
    def corrected(
        self,
        spread: Float[Array, "n n"],
        matrix: Float[Array, "m n"],
        noise: Float[Array, "m m"],
        error: Float[Array, "m"],
        mask: Bool[Array, "m"],
    ) -> Corrected:
        """The correction by y = H x + N(0, noise), whose error y - H m is 0 where `mask` says that it is missing."""

    @abc.abstractmethod
    def spread(self, belief: AbstractGaussianBelief) -> Float[Array, "n n"]:
        """The spread of a belief."""

    @abc.abstractmethod
    def belief(self, mean: Float[Array, "n"], spread: Float[Array, "n n"], time) -> AbstractGaussianBelief:
        """The belief of a mean and a spread."""
