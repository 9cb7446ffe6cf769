"""The filter of finitely many states."""

from typing import Any

import jax
import jax.numpy as jnp

from filterlearn.beliefs.base import start_time
from filterlearn.beliefs.particles import Particles
from filterlearn.filters.base import weighed
from filterlearn.models.base import AbstractFinite, Initial
from filterlearn.numerics.densities import safe_log
from filterlearn.numerics.masking import choose, observed
from filterlearn.protocol import AbstractAlgorithm, Info, origin_of, strong


class HiddenMarkov(AbstractAlgorithm):
    """The exact filter of a hidden Markov model (Baum et al. 1970, doi:10.1214/aoms/1177697196): the probability of each of K
    states, moved by `MarkovChain` or `MarkovProcess` and weighed by any observation law of the state's number.

    The belief is `Particles` on the states 0, ..., K - 1, whose weights are the probabilities. The evidence is exact. Needs
    `Initial` of a law over numbers, such as `numpyro.distributions.Categorical`; anything else is refused with TypeError.
    """

    def init(self, problem, *, key=None):
        """The initial probabilities."""
        model = problem.resolve()
        if not isinstance(model.transition, AbstractFinite):
            name = type(model.transition).__name__
            raise TypeError(f"transition: HiddenMarkov needs MarkovChain or MarkovProcess, got {name}")
        law: Any = model.initial.distribution if isinstance(model.initial, Initial) else None
        if not getattr(law, "has_enumerate_support", False):
            raise TypeError("initial: HiddenMarkov needs Initial of a law over the numbers of the states; use Categorical")
        states = law.enumerate_support()
        weights = law.log_prob(states)
        points, time = states[:, None].astype(weights.dtype), start_time(model.initial.time, weights.dtype)
        return strong(Particles(points, weights, time))

    def predict(self, problem, belief, time, inputs=None, *, key=None):
        """P' w."""
        transition, size = problem.resolve().transition, belief.log_weights.shape[0]
        moved = transition.among(size, origin_of(belief.time, time), time, inputs)
        return Particles(belief.points, safe_log(belief.weights @ moved), time)

    def update(self, problem, belief, datum, *, key=None):
        """w times the densities."""
        seen, (y, t, u) = problem.resolve().observation, (datum.value, datum.time, datum.inputs)

        def told(x):
            nothing = jnp.full((), jnp.nan, x.dtype)
            flags = jnp.zeros((), jnp.int32)
            return Info(seen.log_prob(y, x, t, u), seen.predicted(x, t, u), seen.cdf(y, x, t, u), nothing, flags)

        weights, info = weighed(belief.log_weights, jax.vmap(told)(belief.points), y)
        return Particles(belief.points, choose(observed(y).any(), weights, belief.log_weights), belief.time), info
