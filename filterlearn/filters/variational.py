"""The variational Gaussian filter."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp

from filterlearn.clock import whole
from filterlearn.filters.base import averaged_info, proper_start
from filterlearn.models.base import StateSpaceModel
from filterlearn.models.observations.linear_gaussian import LinearGaussianObservation
from filterlearn.numerics.masking import choose, observed
from filterlearn.numerics.small import cholesky, lower_solve, symmetric, upper_solve
from filterlearn.protocol import AbstractAlgorithm
from filterlearn.quadratures.base import AbstractQuadrature
from filterlearn.quadratures.gauss_hermite import GaussHermite

_RATES = (1.0, 0.5, 0.25, 0.1, 0.03, 0.0)  # tried in each step; the last one stays where it is


class VariationalFilter(AbstractAlgorithm):
    """A Gaussian filter for any observation density: counts, heavy tails, categories. Each datum is absorbed by the Gaussian
    q that makes the bound

        log p(y) >= E_q log p(y | x) - KL(q | prior)

    highest, by natural gradients (Khan & Lin 2017, arXiv:1703.04265; for filtering Lambert, Bonnabel & Bach 2022,
    doi:10.1007/s11222-021-10068-w), expectations by `rule`. A step that would lower the bound is shortened, so that it rises
    in each of the `iterations`. `predictor` is the Gaussian filter that predicts: `Kalman`, `ExtendedKalman` or `SigmaPoint`.

    Exact, in one iteration, where the observation is linear Gaussian and the prediction exact. Otherwise biased by the
    Gaussian form; the evidence is the bound at the prior that the recursion carries. The default rule has 5^n points: with
    more than five states take `Cubature`.
    """

    predictor: AbstractAlgorithm
    rule: AbstractQuadrature = GaussHermite(5)
    iterations: int = eqx.field(static=True, default=8)

    def __check_init__(self):
        if not isinstance(self.predictor, AbstractAlgorithm):
            raise TypeError(f"predictor: a Gaussian filter is needed, got {type(self.predictor).__name__}")
        whole("iterations", self.iterations, 1)

    def init(self, problem, *, key=None):
        """The predictor's start, whatever the observation."""
        model = problem.resolve()
        mean = proper_start(model.initial).mean
        seen = LinearGaussianObservation(jnp.zeros((1, mean.shape[0]), mean.dtype), jnp.eye(1, dtype=mean.dtype))
        return self.predictor.init(StateSpaceModel(model.initial, model.transition, seen), key=key)

    def predict(self, problem, belief, time, inputs=None, *, key=None):
        """The predictor's prediction."""
        return self.predictor.predict(problem, belief, time, inputs, key=key)

    def update(self, problem, belief, datum, *, key=None):
        """The Gaussian of the highest bound, found in the coordinates z of x = m + F z in which the prior is N(0, I)."""
        observation, factor = problem.resolve().observation, belief.factor
        y, t, u = datum.value, datum.time, datum.inputs
        points, weights, _ = self.rule.points(belief.mean.shape[0], belief.mean.dtype)
        fit = _Fit(lambda z: observation.log_prob(y, belief.mean + factor @ z, t, u), points, weights)
        centre, root = fit.raised(self.iterations)
        spread = factor @ upper_solve(root, jnp.eye(len(centre), dtype=centre.dtype))
        after = choose(observed(y).any(), belief.with_factor(belief.mean + factor @ centre, spread), belief)
        info = averaged_info(observation, belief.mean + points @ factor.T, weights, datum, fit.bound(centre, root))
        return after, info


class _Fit(eqx.Module):
    """The bound of N(centre, (C C')^-1) against a N(0, I) prior, C the Cholesky factor of the precision, and its ascent."""

    log_density: Any
    points: jax.Array
    weights: jax.Array

    def _places(self, centre, root):
        return centre + upper_solve(root, self.points.T).T

    def bound(self, centre, root):
        """E log density - KL."""
        spread = upper_solve(root, jnp.eye(len(centre), dtype=centre.dtype))
        divergence = 0.5 * (centre @ centre + jnp.sum(spread**2) - len(centre)) + jnp.sum(jnp.log(jnp.diagonal(root)))
        return self.weights @ jax.vmap(self.log_density)(self._places(centre, root)) - divergence

    def raised(self, iterations):
        """(centre, C) after natural-gradient steps from the prior."""
        n = self.points.shape[1]
        start = (jnp.zeros(n, self.points.dtype), jnp.eye(n, dtype=self.points.dtype))
        return jax.lax.scan(lambda carry, _: (self._step(*carry), None), start, length=iterations)[0]

    def _step(self, centre, root):
        """The step of the rate whose bound is highest."""
        places = self._places(centre, root)
        slope = self.weights @ jax.vmap(jax.grad(self.log_density))(places)
        bend = jnp.tensordot(self.weights, jax.vmap(jax.hessian(self.log_density))(places), 1)
        wanted = jnp.eye(len(centre), dtype=centre.dtype) - symmetric(bend)

        def moved(rate, centre, root, wanted, slope):
            new = cholesky((1.0 - rate) * root @ root.T + rate * wanted)
            step = upper_solve(new, lower_solve(new, (slope - centre)[:, None]))[:, 0]
            return centre + rate * step, new

        rates = jnp.asarray(_RATES, centre.dtype)
        held = jax.lax.stop_gradient((centre, root, wanted, slope))
        levels = jax.lax.stop_gradient(jax.vmap(lambda rate: self.bound(*moved(rate, *held)))(rates))
        best = jnp.argmax(jnp.where(jnp.isfinite(levels), levels, -jnp.inf))
        return moved(rates[best], centre, root, wanted, slope)
