"""The sigma-point Kalman filter."""

import equinox as eqx
import jax
import jax.numpy as jnp

from filterlearn.clock import whole
from filterlearn.filters.base import gaussian_info, gaussian_start
from filterlearn.models.transitions.base import AbstractStepping
from filterlearn.numerics.masking import choose, filled, observed
from filterlearn.numerics.small import lower_solve, product, semidefinite_factor, symmetric, upper_solve
from filterlearn.protocol import AbstractAlgorithm, origin_of
from filterlearn.quadratures.base import AbstractQuadrature
from filterlearn.quadratures.cubature import Cubature


class SigmaPoint(AbstractAlgorithm):
    """A Gaussian filter whose expectations are taken by a rule of points: unscented, cubature or Gauss-Hermite (Sarkka 2013,
    ISBN 9781107619289, chapters 6 and 7).

    SDEs are predicted by the moment equations dm = E[f] dt, dP = (E[f (x - m)'] + its transpose + E[G G']) dt, jumps by their
    intensity, mean and second moment inside f and G, with the Runge-Kutta steps of order 4 in the transition's substeps
    (Sarkka 2007, doi:10.1109/TAC.2007.904453): the Ito law's own moments, whatever the scheme, with state-dependent noise
    averaged over the belief. Other Gaussian transitions, and SDEs inside `Joint`, by the moments of their steps.

    `iterations` above 1 relinearises the observation, in the least squares sense, about the corrected belief, always from
    the predicted one (posterior linearisation; Garcia-Fernandez et al. 2015, doi:10.1109/TSP.2015.2454485). Exact for
    linear-Gaussian models; otherwise biased by the rule and by the Gaussian form. The evidence is that of the first
    linearisation.
    """

    rule: AbstractQuadrature = Cubature()
    iterations: int = eqx.field(static=True, default=1)

    def __check_init__(self):
        if not isinstance(self.rule, AbstractQuadrature):
            raise TypeError(f"rule: Unscented(), Cubature() or GaussHermite() is needed, got {type(self.rule).__name__}")
        whole("iterations", self.iterations, 1)

    def init(self, problem, *, key=None):
        """The initial law, by its moments."""
        return gaussian_start(self, problem)

    def predict(self, problem, belief, time, inputs=None, *, key=None):
        """The moments at the later time."""
        transition, start = problem.resolve().transition, origin_of(belief.time, time)
        move = self._flowed if isinstance(transition, AbstractStepping) else self._stepped
        h = (time - start) / transition.substeps

        def one(carry, k):
            return move(transition, carry, start + k * h, h, inputs), None

        index = jnp.arange(transition.substeps, dtype=belief.mean.dtype)
        mean, covariance = jax.lax.scan(one, (belief.mean, belief.covariance), index)[0]
        return eqx.tree_at(lambda b: (b.mean, b.covariance, b.time), belief, (mean, covariance, time))

    def _stepped(self, transition, moments, t, h, u):
        """The moments after one Gaussian step."""
        fit = self._fitted(lambda x: transition.moments(x, t, t + h, u), *moments)
        return fit.mean, symmetric(fit.covariance)

    def _flowed(self, transition, moments, t, h, u):
        """One Runge-Kutta step of the moment equations."""

        def slope(s, shift, previous):
            at = jax.tree.map(lambda a, b: a + shift * b, moments, previous)
            fit = self._fitted(lambda x: transition.rates(x, t + s, u), *at)
            across = fit.slope @ fit.factor.T
            return fit.mean, across + across.T + fit.noise

        a = slope(0.0, 0.0, moments)
        b = slope(h / 2, h / 2, a)
        c = slope(h / 2, h / 2, b)
        d = slope(h, h, c)
        return jax.tree.map(lambda x, a, b, c, d: x + h / 6 * (a + 2 * b + 2 * c + d), moments, a, b, c, d)

    def _fitted(self, law, mean, covariance):
        """The law x -> (mean, factor) under N(mean, covariance), fitted as y + B z + noise with x = mean + F z."""
        factor = semidefinite_factor(covariance)
        points, weights, spread = self.rule.points(mean.shape[0], mean.dtype)
        values, columns = jax.vmap(lambda z: law(mean + factor @ z))(points)
        return _Fit.of(points, weights, spread, values, jnp.einsum("i,iab,icb->ac", weights, columns, columns), factor)

    def update(self, problem, belief, datum, *, key=None):
        """The correction by a datum, about the last iterate."""
        observation = problem.resolve().observation
        mask, prior = observed(datum.value), (belief.mean, belief.covariance)
        first = self._seen(observation, datum, *prior)
        info, new = _corrected(first, first.slope, prior[0], first.factor, first.error(observation, datum, mask), mask)
        for _ in range(self.iterations - 1):
            fit = self._seen(observation, datum, *new)
            matrix = fit.matrix()
            error = fit.error(observation, datum, mask) - jnp.where(mask, matrix @ (prior[0] - new[0]), 0.0)
            new = _corrected(fit, matrix @ first.factor, prior[0], first.factor, error, mask)[1]
        mean, covariance = choose(mask.any(), new, prior)
        return eqx.tree_at(lambda b: (b.mean, b.covariance), belief, (mean, covariance)), info

    def _seen(self, observation, datum, mean, covariance):
        """The observation's fit under N(mean, covariance); deviations are taken as the observation takes differences."""
        factor = semidefinite_factor(covariance)
        points, weights, spread = self.rule.points(mean.shape[0], mean.dtype)
        law = lambda x: observation.moments(x, datum.time, datum.inputs)  # noqa: E731
        centre = law(mean)[0]
        values, noise = jax.vmap(lambda z: law(mean + factor @ z))(points)
        values = centre + jax.vmap(lambda y: observation.innovation(y, centre))(values)
        return _Fit.of(points, weights, spread, values, jnp.tensordot(weights, noise, 1), factor)


class _Fit(eqx.Module):
    """A law under x = m + F z, z ~ N(0, I), fitted as mean + slope z + a rest: `covariance` is that of the whole, `noise` the
    average of the law's own."""

    mean: jax.Array
    slope: jax.Array
    covariance: jax.Array
    noise: jax.Array
    factor: jax.Array

    @classmethod
    def of(cls, points, weights, spread, values, noise, factor):
        """From the values of the law's mean at the points, and its average covariance."""
        mean = weights @ values
        off = values - mean
        return cls(mean, off.T @ (weights[:, None] * points), off.T @ (spread[:, None] * off) + noise, noise, factor)

    def error(self, observation, datum, mask):
        """The datum less the mean, 0 where it is missing."""
        return jnp.where(mask, observation.innovation(filled(datum.value, self.mean), self.mean), 0.0)

    def matrix(self):
        """The slope in x: B F^-1, where F has a pivot."""
        pivots = jnp.diagonal(self.factor) > 0
        whole = self.factor + jnp.diag(jnp.where(pivots, 0.0, 1.0))
        return jnp.where(pivots, upper_solve(whole, self.slope.T).T, 0.0)


def _corrected(fit, slope, mean, factor, error, mask):
    """(Info, (mean, covariance)) of x = m + F z after a datum y = mean + slope z + rest, in Joseph form."""
    rest = fit.covariance - product(fit.slope, fit.slope.T)
    slope = jnp.where(mask[:, None], slope, 0.0)
    info, root = gaussian_info(error, symmetric(product(slope, slope.T) + rest), mask, fit.mean)
    gain = upper_solve(root, lower_solve(root, slope)).T
    left = product(factor, jnp.eye(len(mean), dtype=mean.dtype) - product(gain, slope))
    right = product(factor, gain)
    both = mask[:, None] & mask[None, :]
    covariance = product(left, left.T) + product(product(right, jnp.where(both, rest, 0.0)), right.T)
    return info, (mean + right @ error, symmetric(covariance))
