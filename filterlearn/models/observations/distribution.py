"""Any numpyro distribution as the observation law."""

from typing import Any

import jax.numpy as jnp
import numpyro.distributions as dist

from filterlearn.models.base import AbstractObservation
from filterlearn.numerics.masking import filled, observed


def _flat(law):
    """The law with independent entries as batch entries, `(m,)`."""
    while isinstance(law, dist.Independent):
        law = law.base_dist
    if law.event_shape:
        raise TypeError(f"distribution: independent entries are needed, got {type(law).__name__}; use GaussianObservation")
    return law.expand((1,)) if law.batch_shape == () else law


class DistributionObservation(AbstractObservation):
    """y ~ distribution(t, x, u), a numpyro law with independent entries; NaN entries are left out.

    >>> import numpyro.distributions as dist
    >>> counts = DistributionObservation(lambda t, x, u: dist.Poisson(x))
    """

    distribution: Any

    def log_prob(self, y, x, t, u=None):
        """Sum of the log-densities of the observed entries."""
        law = _flat(self.distribution(t, x, u))
        inside = jnp.broadcast_to(jnp.asarray(law.mean, x.dtype), y.shape)
        inside = jnp.round(inside) if law.support.is_discrete else inside
        terms = law.log_prob(filled(y, inside))
        return jnp.sum(jnp.where(observed(y), terms, 0.0))

    def sample(self, x, t, u=None, *, key):
        """One draw."""
        return jnp.asarray(_flat(self.distribution(t, x, u)).sample(key), x.dtype)

    def predicted(self, x, t, u=None):
        """Mean and variance of the law."""
        law = _flat(self.distribution(t, x, u))
        return jnp.asarray(law.mean, x.dtype), jnp.asarray(law.variance, x.dtype)

    def cdf(self, y, x, t, u=None):
        """P(Y <= y); for counts without randomisation."""
        law = _flat(self.distribution(t, x, u))
        return law.cdf(filled(y, jnp.asarray(law.mean, x.dtype)))
