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
        start = origin_of(belief.time, time)
        members = problem.resolve().transition.sample_many(belief.members, start, time, inputs, key=needed(key))
        return Ensemble(members, time, belief.inflation)

    def update(self, problem, belief, datum, *, key=None):
        """The analysis, the ensemble widened before or after it."""
        rule, mask = self._inflation, observed(datum.value)
        mean, anomalies = centred(belief.members)
        before = rule.prior(anomalies, belief.inflation)
        x = mean + before
        predictions, predicted, error, r = self._predicted(problem.resolve().observation, x, datum)
        seen = innovation(predictions, error, mask, r)
        variance = jnp.var(predictions, axis=0, ddof=1) + jnp.diagonal(r)
        collapsed = COLLAPSED * (jnp.max(jnp.abs(anomalies)) == 0)
        info = predicted_info(seen.log_density(mask), error, mask, predicted, variance, collapsed)
        middle, after = centred(self.analysis.revise(x, seen, key=needed(key)))
        members = jnp.where(mask.any(), middle + rule.posterior(before, after), belief.members)
        return Ensemble(members, belief.time, rule.learned(seen, jnp.sum(mask), belief.inflation)), info

    def _predicted(self, observation, members, datum):
        """The members' predictions of the datum, their mean, its error (0 where missing) and R at the ensemble's mean."""
        predictions = jax.vmap(lambda x: observation.moments(x, datum.time, datum.inputs)[0])(members)
        r = observation.moments(jnp.mean(members, axis=0), datum.time, datum.inputs)[1]
        mean = jnp.mean(predictions, axis=0)
        error = observation.innovation(filled(datum.value, mean), mean)
        return predictions, mean, jnp.where(observed(datum.value), error, 0.0), r
