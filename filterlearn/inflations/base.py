"""What keeps the spread of an ensemble from falling too low."""

import abc

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from filterlearn.analyses.base import Innovation


class AbstractInflation(eqx.Module):
    """How an ensemble is widened around an analysis; where nothing is observed it is not."""

    def start(self, dtype):
        """What it knows before any datum; None when it learns nothing."""
        return None  # noqa: RET501

    def prior(self, anomalies: Float[Array, "N n"], known) -> Float[Array, "N n"]:
        """The anomalies that the analysis takes."""
        return anomalies

    @abc.abstractmethod
    def posterior(self, before: Float[Array, "N n"], after: Float[Array, "N n"]) -> Float[Array, "N n"]:
        """The anomalies after the analysis, given those that it took and those that it left."""
        return after

    def learned(self, seen: Innovation, count, known):
        """What it knows after an innovation of `count` observed entries."""
        return known


def spread(anomalies):
    """The standard deviation of each coordinate."""
    return jnp.sqrt(jnp.sum(anomalies**2, axis=0) / (anomalies.shape[0] - 1))
