"""Regimes, each with an observation of its own."""

import jax.numpy as jnp

from filterlearn.models.base import AbstractObservation


class SwitchedObservation(AbstractObservation):
    """y given (x, r) by `observations[r]`, which reads x alone; one observation serves all regimes. For `Switched`."""

    observations: tuple

    def __init__(self, observations):
        self.observations = tuple(observations)
        for each in self.observations:
            if not isinstance(each, AbstractObservation):
                raise TypeError(f"observations: an observation for each regime is needed, got {type(each).__name__}")

    def of(self, regime: int):
        """The observation in a regime."""
        return self.observations[regime if len(self.observations) > 1 else 0]

    def _chosen(self, values, x):
        values = jnp.stack(values)
        return values[x[-1].astype(int) if len(values) > 1 else 0]

    def log_prob(self, y, x, t, u=None):
        """That of the regime."""
        return self._chosen([each.log_prob(y, x[:-1], t, u) for each in self.observations], x)

    def sample(self, x, t, u=None, *, key):
        """A draw in the regime."""
        return self._chosen([each.sample(x[:-1], t, u, key=key) for each in self.observations], x)

    def predicted(self, x, t, u=None):
        """Mean and variance in the regime."""
        parts = zip(*(each.predicted(x[:-1], t, u) for each in self.observations), strict=True)
        return tuple(self._chosen(list(part), x) for part in parts)

    def cdf(self, y, x, t, u=None):
        """That of the regime."""
        return self._chosen([each.cdf(y, x[:-1], t, u) for each in self.observations], x)
