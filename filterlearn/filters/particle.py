"""The bootstrap particle filter."""

import equinox as eqx
import jax
import jax.numpy as jnp

from filterlearn.beliefs.particles import Particles, mean_of_told
from filterlearn.clock import whole
from filterlearn.models.base import starting_sample
from filterlearn.numerics.densities import effective_size, normalise
from filterlearn.numerics.masking import choose, observed
from filterlearn.protocol import COLLAPSED, OUT_OF_RANGE, AbstractAlgorithm, Info, needed, origin_of, strong
from filterlearn.resamplers.adaptive import Adaptive
from filterlearn.resamplers.base import AbstractResampler
from filterlearn.resamplers.systematic import Systematic


class ParticleFilter(AbstractAlgorithm):
    """Moves by the transition, weights by the observation, resamples after the weighting (Gordon, Salmond & Smith 1993,
    doi:10.1049/ip-f-2.1993.0015).

    Any transition that can be sampled, any density. exp(total log evidence) is unbiased; the log is low by about half its
    variance. The derivative of the evidence is biased unless the resampler carries it (`StopGradient`).
    """

    size: int = eqx.field(static=True)
    resampler: AbstractResampler = Adaptive(Systematic())

    def __check_init__(self):
        whole("size", self.size, 2)
        if not isinstance(self.resampler, AbstractResampler):
            raise TypeError(f"resampler: a resampler is needed, got {self.resampler!r}")

    def init(self, problem, *, key=None):
        """Points drawn from the initial law."""
        points, time = starting_sample(problem.resolve().initial, self.size, needed(key))
        return strong(Particles(points, jnp.full(self.size, -jnp.log(self.size), points.dtype), time))

    def predict(self, problem, belief, time, inputs=None, *, key=None):
        """Each point moved by the transition."""
        start = origin_of(belief.time, time)
        points = problem.resolve().transition.sample_many(belief.points, start, time, inputs, key=needed(key))
        # Without the barrier the compiler may move the points anew for each of their readers in `update`.
        return Particles(jax.lax.optimization_barrier(points), belief.log_weights, time)

    def update(self, problem, belief, datum, *, key=None):
        """Weights times the densities, then the resampler."""
        observation = problem.resolve().observation
        y, t, u = datum.value, datum.time, datum.inputs
        mask = observed(y)
        density = jax.vmap(lambda x: observation.log_prob(y, x, t, u))(belief.points)
        density = jnp.where(jnp.isnan(density), -jnp.inf, density)
        weights, evidence = normalise(belief.log_weights + density)
        info = self._info(observation, belief, datum, mask, jnp.where(mask.any(), evidence, 0.0), weights)
        points, weights = self.resampler.resample(weights, belief.points, key=needed(key))
        new = choose(mask.any(), (points, weights), (belief.points, belief.log_weights))
        return Particles(*new, belief.time), info

    def _info(self, observation, belief, datum, mask, evidence, weights):
        y, t, u = datum.value, datum.time, datum.inputs
        prior = belief.weights
        means, variances = jax.vmap(lambda x: observation.predicted(x, t, u))(belief.points)
        mean = mean_of_told(means, prior)
        variance = mean_of_told(variances + (means - mean) ** 2, prior)
        below = jax.vmap(lambda x: observation.cdf(y, x, t, u))(belief.points)
        pit = jnp.where(mask, mean_of_told(below, prior), jnp.nan)
        lost = ~jnp.isfinite(belief.points).all()
        flags = jnp.asarray(COLLAPSED * ~jnp.isfinite(evidence) + OUT_OF_RANGE * lost, jnp.int32)
        return Info(evidence, (mean, variance), pit, effective_size(weights), flags)
