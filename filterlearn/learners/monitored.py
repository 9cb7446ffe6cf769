"""A learner that notices when the world has changed."""

import dataclasses
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from filterlearn.beliefs.joint import MonitoredBelief
from filterlearn.learners.base import AbstractLearner
from filterlearn.protocol import SURPRISED

_STREAM = 2**31 - 4


class Wager(eqx.Module):
    """A wager against the predictions, which grows when they are wrong: a detector with a bound on its false alarms.

    Of a calibrated filter the values u of the predictive distribution function (`Info.pit`) are uniform given the past, so
    that each stake e(u) on too small, on too large or on extreme values has mean 1 there, and the sums of wagers begun at
    each datum,

        M_k = (M_k-1 + 1) e(u_k),    e(u) = 1 / (2 sqrt u),    1 / (2 sqrt(1 - u)),    or the mean of the two,

    grow by 1 a datum on average (Shiryaev 1963, doi:10.1137/1108002; Roberts 1966, doi:10.1080/00401706.1966.10490374; with
    e-values: Shin, Ramdas & Rinaldo 2024, doi:10.51387/23-NEJSDS51). The alarm is given, and the wager begun anew, when the
    mean of the three reaches 1 / rate: whatever the model, the mean time between false alarms is at least 1 / rate data, and
    the chance of one within T data at most rate T. Of several sensors the stakes are averaged, which needs no independence.

    Exact for a filter whose predictive law is exact and continuous; of an approximate filter, and of counts, whose
    distribution function at the data is not uniform, the rate has to be measured.
    """

    rate: Any = 1e-3

    def __check_init__(self):
        if isinstance(self.rate, float | int) and not 0 < self.rate < 1:
            raise ValueError(f"rate: false alarms a datum, between 0 and 1, are needed, got {self.rate}")

    def start(self, dtype) -> Float[Array, "3"]:
        """Logarithms of the wagers before any datum."""
        return jnp.full(3, -jnp.inf, dtype)

    def told(self, logs: Float[Array, "3"], pit: Float[Array, "m"]):
        """(logarithms of the wagers, whether the alarm is given) after a datum; NaN entries of `pit` do not count."""
        grown = jnp.where(jnp.isnan(pit).all(), logs, jnp.logaddexp(logs, 0.0) + _stakes(pit))
        alarm = jnp.mean(jnp.exp(grown)) >= 1 / jnp.asarray(self.rate, logs.dtype)
        return jnp.where(alarm, -jnp.inf, grown), alarm


def _stakes(pit):
    """Logarithms of the three stakes, each the mean over the sensors that tell."""
    told = ~jnp.isnan(pit)
    least = jnp.finfo(pit.dtype).tiny
    ends = jnp.stack([jnp.where(told, pit, 1.0), jnp.where(told, 1.0 - pit, 1.0)])
    sides = jnp.sum(jnp.where(told, 0.5 / jnp.sqrt(jnp.maximum(ends, least)), 0.0), axis=1) / jnp.maximum(jnp.sum(told), 1)
    return jnp.log(jnp.append(sides, jnp.mean(sides)))


class Monitored(AbstractLearner):
    """A learner whose predictions a monitor watches. An alarm is flagged `surprised`; with `kept`, the belief about the
    parameters is then let go towards the prior, posterior^kept x prior^(1 - kept) on the unconstrained scale, so that they
    are learned anew as fast as at the start (West & Harrison 1986, doi:10.1080/01621459.1986.10478331): 0 forgets everything,
    None only flags.

    The datum that gave the alarm was absorbed before. The evidence is that of the learner inside, to which each alarm gives
    another belief; the state keeps its law given the parameters. Takes any learner; one that cannot let go is refused where
    `kept` is given.
    """

    learner: AbstractLearner
    monitor: Wager = Wager()
    kept: Any = None

    def __check_init__(self):
        if not isinstance(self.learner, AbstractLearner):
            raise TypeError(f"learner: a learner is needed, got {type(self.learner).__name__}; put Joint around a filter")
        if isinstance(self.kept, float | int) and not 0 <= self.kept < 1:
            raise ValueError(f"kept: a power from 0 to below 1, or None, is needed, got {self.kept}")

    def init(self, problem, *, key=None):
        """The learner's start, and no wager."""
        inside = self.learner.init(problem, key=key)
        return MonitoredBelief(inside, self.monitor.start(problem.median.dtype))

    def predict(self, problem, belief, time, inputs=None, *, key=None):
        """The learner's prediction."""
        return MonitoredBelief(self.learner.predict(problem, belief.inside, time, inputs, key=key), belief.wagers)

    def update(self, problem, belief, datum, *, key=None):
        """The learner's update, then what the monitor says of it."""
        return self._watched(problem, belief, *self.learner.update(problem, belief.inside, datum, key=key), key)

    def step(self, problem, belief, datum, *, keys):
        """The learner's step, then what the monitor says of it."""
        return self._watched(problem, belief, *self.learner.step(problem, belief.inside, datum, keys=keys), keys[1])

    def widened(self, problem, belief, kept, *, key=None):
        """That of the learner inside."""
        return MonitoredBelief(self.learner.widened(problem, belief.inside, kept, key=key), belief.wagers)

    def larger(self, flags):
        """What the learner inside has to give."""
        inside = self.learner.larger(flags)
        return self if inside is self.learner else dataclasses.replace(self, learner=inside)

    def enlarged(self, problem, belief, flags, *, key=None):
        """That of the learner inside."""
        return MonitoredBelief(self.learner.enlarged(problem, belief.inside, flags, key=key), belief.wagers)

    def _watched(self, problem, belief, inside, info, key):
        wagers, alarm = self.monitor.told(belief.wagers, info.pit)
        if self.kept is not None:
            own = None if key is None else jax.random.fold_in(key, _STREAM)
            wide = lambda now: self.learner.widened(problem, now, self.kept, key=own)  # noqa: E731
            inside = jax.lax.cond(alarm, wide, lambda now: now, inside)
        flags = info.flags | jnp.where(alarm, SURPRISED, 0).astype(info.flags.dtype)
        return MonitoredBelief(inside, wagers), eqx.tree_at(lambda i: i.flags, info, flags)
