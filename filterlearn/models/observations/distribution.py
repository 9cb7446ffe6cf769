"""Any numpyro distribution as the observation law."""

from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpyro.distributions as dist

from filterlearn.models.base import AbstractObservation, timed
from filterlearn.numerics.masking import filled, observed


def _flat(law):
    """The law with independent entries as batch entries, `(m,)`."""
    while isinstance(law, dist.Independent):
        law = law.base_dist
    if law.event_shape:
        raise TypeError(f"distribution: independent entries are needed, got {type(law).__name__}; use GaussianObservation")
    return law


def _vector(entry, x):
    return jnp.atleast_1d(jnp.asarray(entry, x.dtype))


class DistributionObservation(AbstractObservation):
    """y ~ distribution(t, x, u), a numpyro law with independent entries; NaN entries are left out.

    >>> import numpyro.distributions as dist
    >>> counts = DistributionObservation(lambda t, x, u: dist.Poisson(x))
    """

    distribution: Any = eqx.field(converter=timed)

    def log_prob(self, y, x, t, u=None):
        """Sum of the log-densities of the observed entries."""
        law = _flat(self.distribution(t, x, u))
        inside = jnp.broadcast_to(jnp.asarray(law.mean, x.dtype), y.shape)
        inside = jnp.round(inside) if law.support.is_discrete else inside
        terms = law.log_prob(filled(y, inside))
        return jnp.sum(jnp.where(observed(y), terms, 0.0)).astype(x.dtype)  # numpyro makes wide arrays of Python numbers

    def sample(self, x, t, u=None, *, key):
        """One draw."""
        return jnp.atleast_1d(jnp.asarray(_flat(self.distribution(t, x, u)).sample(key), x.dtype))

    def predicted(self, x, t, u=None):
        """Mean and variance of the law."""
        law = _flat(self.distribution(t, x, u))
        return _vector(law.mean, x), _vector(law.variance, x)

    def cdf(self, y, x, t, u=None):
        """P(Y <= y), for counts without randomisation; NaN for a law that numpyro gives no distribution function."""
        law = _flat(self.distribution(t, x, u))
        try:
            return law.cdf(filled(y, jnp.broadcast_to(_vector(law.mean, x), y.shape))).astype(x.dtype)
        except NotImplementedError:
            return super().cdf(y, x, t, u)
