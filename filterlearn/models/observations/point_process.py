"""Events in time, with marks."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp

from filterlearn.models.base import AbstractObservation, timed
from filterlearn.numerics.densities import safe_log
from filterlearn.numerics.masking import filled


class PointProcess(AbstractObservation):
    """Events of K kinds at times that are the data's: log p = sum_k y_k log l_k(t, x, u) - L, and log p(mark) at an event.

    `intensity(t, x, u)` gives l `(K,)`, events per unit of the data's time, or one number. The state is (x, L): its last
    entry is the integral of the sum of the intensities since the datum before, moved with the state (`SDE.with_integral`)
    and reset by `JumpsAtData(..., reset=1)`; intensity and mark read x alone. A datum is (y, mark): y is 1 for the kind of an
    event, 0 for the others, and all 0 where there was no event since the datum before: the end of the window, or any time
    between. A row of NaN is a gap in which nobody looked. `mark` is an observation of the entries after the first K.

    The density is exact (Daley & Vere-Jones 2003, proposition 7.3.III, doi:10.1007/b97277). `cdf` is 1 - exp(-L) at an event:
    uniform under the model by the change of time (Brown et al. 2002, doi:10.1162/08997660252741149), so that `pit` checks the
    intensity. `sample` says of an event that there is one which kind it is and with what mark; `simulate_events` draws the
    times.
    """

    intensity: Any = eqx.field(converter=timed)
    mark: AbstractObservation | None = None

    def __check_init__(self):
        if not callable(self.intensity):
            raise TypeError(f"intensity: a function (t, x, u) is needed, got {type(self.intensity).__name__}")
        if self.mark is not None and not isinstance(self.mark, AbstractObservation):
            raise TypeError(f"mark: an observation is needed, got {type(self.mark).__name__}; use DistributionObservation")

    def rates(self, x, t, u=None):
        """The intensities `(K,)`."""
        return jnp.atleast_1d(jnp.asarray(self.intensity(t, x[:-1], u), x.dtype))

    def log_prob(self, y, x, t, u=None):
        """The log-density of what happened since the datum before."""
        rates = self.rates(x, t, u)
        events = filled(y[: len(rates)], jnp.zeros_like(rates))
        here = events > 0
        told = jnp.sum(jnp.where(here, events * jnp.log(jnp.where(here, rates, 1.0)), 0.0)) - x[-1]
        if self.mark is not None:
            told = told + jnp.where(here.any(), self.mark.log_prob(y[len(rates) :], x[:-1], t, u), 0.0)
        return jnp.where(jnp.isnan(y).all(), 0.0, told)

    def sample(self, x, t, u=None, *, key):
        """An event at t: its kind, by the intensities, and its mark."""
        first, second = jax.random.split(key)
        rates = self.rates(x, t, u)
        kind = jax.random.categorical(first, safe_log(rates))
        event = (jnp.arange(len(rates)) == kind).astype(x.dtype)
        return event if self.mark is None else jnp.append(event, self.mark.sample(x[:-1], t, u, key=second))

    def cdf(self, y, x, t, u=None):
        """1 - exp(-L) for the entry of the event, NaN for the others."""
        events = y[: len(self.rates(x, t, u))]
        waited = jnp.where(events > 0, -jnp.expm1(-x[-1]), jnp.nan)
        if self.mark is None:
            return waited
        return jnp.append(waited, self.mark.cdf(y[len(events) :], x[:-1], t, u))
