"""The ensemble Kalman filter."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp

from filterlearn.analyses.base import AbstractAnalysis, centred, innovation
from filterlearn.analyses.perturbed import Perturbed
from filterlearn.beliefs.ensemble import Ensemble
from filterlearn.clock import whole
from filterlearn.filters.base import predicted_info
from filterlearn.inflations.base import AbstractInflation
from filterlearn.inflations.multiplicative import Multiplicative
from filterlearn.models.base import AbstractGaussianObservation, starting_sample
from filterlearn.numerics.masking import filled, observed
from filterlearn.protocol import COLLAPSED, AbstractAlgorithm, needed, origin_of, strong


class EnsembleKalman(AbstractAlgorithm):
    """A Gaussian filter whose moments come from `size` members (Evensen 1994, doi:10.1029/94JC00572).

    Any transition, Gaussian observations. `inflation` multiplies the anomalies after each analysis, or is a rule such as
    `RelaxToSpread(0.5)` or `AdaptiveInflation()`. The evidence is N(y; mean, S) with the sample moments: consistent for
    linear-Gaussian models as N grows, biased at finite N.
    """

    size: int = eqx.field(static=True)
    analysis: AbstractAnalysis = Perturbed()
    inflation: Any = 1.0

    def __check_init__(self):
        whole("size", self.size, 2)
        if not isinstance(self.analysis, AbstractAnalysis):
            raise TypeError(f"analysis: Perturbed(), Transform() or another is needed, got {type(self.analysis).__name__}")
        if isinstance(self.inflation, AbstractAnalysis | str):
            raise TypeError(f"inflation: a number or a rule such as RelaxToSpread(0.5) is needed, got {self.inflation!r}")

    @property
    def _inflation(self) -> AbstractInflation:
        return self.inflation if isinstance(self.inflation, AbstractInflation) else Multiplicative(self.inflation)

    def init(self, problem, *, key=None):
        """Members drawn from the initial law."""
        model = problem.resolve()
        if not isinstance(model.observation, AbstractGaussianObservation):
            name = type(model.observation).__name__
            raise TypeError(f"observation: EnsembleKalman needs a Gaussian one, got {name}; use ParticleFilter")
        members, time = starting_sample(model.initial, self.size, needed(key))
        return strong(Ensemble(members, time, self._inflation.start(members.dtype)))

    def predict(self, problem, belief, time, inputs=None, *, key=None):
        """Each member moved by the transition."""
        start, forward = self._gap(problem, belief, time, inputs, key)
        return Ensemble(forward(start), time, belief.inflation)

    def update(self, problem, belief, datum, *, key=None):
        """The analysis, the ensemble widened before or after it."""
        return self._revised(problem, belief, belief.members, lambda members: members, datum, key)

    def step(self, problem, belief, datum, *, keys):
        """Both, for an analysis that looks before the gap."""
        start, forward = self._gap(problem, belief, datum.time, datum.inputs, keys[0])
        return self._revised(problem, belief, start, forward, datum, keys[1])

    def _gap(self, problem, belief, time, inputs, key):
        """The members with their noise, and how these move."""
        if belief.members.shape[0] != self.size:
            raise ValueError(f"belief: {self.size} members are needed, got {belief.members.shape[0]}")
        transition, since = problem.resolve().transition, origin_of(belief.time, time)
        noise = transition.draw_noise(self.size, belief.members[0], inputs, key=needed(key))
        moved = jax.vmap(lambda x, e: transition.push(x, since, time, inputs, e))
        return (belief.members, noise), lambda start: moved(*start)

    def _revised(self, problem, belief, start, forward, datum, key):
        """(belief, Info), the members at the datum's time being forward(start)."""
        rule, mask, observation = self._inflation, observed(datum.value), problem.resolve().observation

        def widened(members):
            mean, anomalies = centred(members)
            return mean + rule.prior(anomalies, belief.inflation)

        def see(members):
            return _innovation(observation, members, datum)[0]

        members = forward(start)
        before = widened(members)
        seen, error, mean, variance = _innovation(observation, before, datum)
        info = predicted_info(seen.log_density(mask), error, mask, mean, variance, COLLAPSED * _all_one(members))
        new = self.analysis.analysed(start, before, seen, lambda rows: widened(forward(rows)), see, key=needed(key))
        middle, after = centred(new)
        new = jnp.where(mask.any(), middle + rule.posterior(centred(before)[1], after), members)
        return Ensemble(new, datum.time, rule.learned(seen, jnp.sum(mask), belief.inflation)), info


def _all_one(members):
    """Whether they differ by no more than rounding."""
    rounding = 8 * jnp.finfo(members.dtype).eps * jnp.max(jnp.abs(members), axis=0)
    return jnp.all(jnp.ptp(members, axis=0) <= rounding)


def _innovation(observation, members, datum):
    """(the whitened innovation, the error of the predicted mean, 0 where missing, that mean, the variance), with R at the
    ensemble's mean."""
    mask = observed(datum.value)
    predictions = jax.vmap(lambda x: observation.moments(x, datum.time, datum.inputs)[0])(members)
    r = observation.moments(jnp.mean(members, axis=0), datum.time, datum.inputs)[1]
    mean = jnp.mean(predictions, axis=0)
    error = jnp.where(mask, observation.innovation(filled(datum.value, mean), mean), 0.0)
    return innovation(predictions, error, mask, r), error, mean, jnp.var(predictions, axis=0, ddof=1) + jnp.diagonal(r)
