"""What a form of a Gaussian offers its filters."""

import abc
from typing import NamedTuple

import equinox as eqx
from jaxtyping import Array, Bool, Float

from filterlearn.beliefs.gaussian import AbstractGaussianBelief


class Corrected(NamedTuple):
    """What a datum does: a lower factor of the observed innovations' covariance `(m, m)`, the predicted variances `(m,)`, the
    gain `(n, m)` and the spread after."""

    root: Float[Array, "m m"]
    variance: Float[Array, "m"]
    gain: Float[Array, "n m"]
    spread: Float[Array, "n *k"]


class Passage(NamedTuple):
    """A time step, or several, with their data: from x before, N(`matrix` x + `mean`, spread) after; and what the data tell
    of x before, exp(x'`vector` - x' I x / 2) with `information` the spread of I (Sarkka & Garcia-Fernandez 2021, lemma 7,
    doi:10.1109/TAC.2020.2976316)."""

    matrix: Float[Array, "n n"]
    mean: Float[Array, "n"]
    spread: Float[Array, "n n"]
    vector: Float[Array, "n"]
    information: Float[Array, "n n"]


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
        mask: Bool[Array, "m"],
    ) -> Corrected:
        """The correction by the entries of y = H x + N(0, noise) that `mask` says are there."""

    @abc.abstractmethod
    def joined(self, first: Passage, second: Passage) -> Passage:
        """Two passages one after the other, as one."""

    @abc.abstractmethod
    def spread(self, belief: AbstractGaussianBelief) -> Float[Array, "n n"]:
        """The spread of a belief."""

    @abc.abstractmethod
    def belief(self, mean: Float[Array, "n"], spread: Float[Array, "n n"], time) -> AbstractGaussianBelief:
        """The belief of a mean and a spread."""
