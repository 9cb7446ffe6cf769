"""The sigma-point Kalman filter."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp

from filterlearn.clock import whole
from filterlearn.filters.base import check_form, form_for, gaussian_info, gaussian_start
from filterlearn.models.transitions.base import AbstractStepping
from filterlearn.numerics.masking import choose, filled, observed
from filterlearn.numerics.small import semidefinite_factor, symmetric, upper_solve
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
    linearisation. `form` is `MomentForm()` or `SquareRootForm()`; None takes moments in double precision and square roots
    below it. The moment equations stay in moments.
    """

    rule: AbstractQuadrature = Cubature()
    iterations: int = eqx.field(static=True, default=1)
    form: Any = None

    def __check_init__(self):
        if not isinstance(self.rule, AbstractQuadrature):
            raise TypeError(f"rule: Unscented(), Cubature() or GaussHermite() is needed, got {type(self.rule).__name__}")
        whole("iterations", self.iterations, 1)
        check_form(self.form)

    def init(self, problem, *, key=None):
        """The initial law, by its moments."""
        return gaussian_start(self, problem)

    def predict(self, problem, belief, time, inputs=None, *, key=None):
        """The moments at the later time."""
        transition, start = problem.resolve().transition, origin_of(belief.time, time)
        form = form_for(self.form, belief.mean.dtype)
        move = self._flowed if isinstance(transition, AbstractStepping) else self._stepped
        h = (time - start) / transition.substeps

        def one(carry, k):
            return move(form, transition, carry, start + k * h, h, inputs), None

        index = jnp.arange(transition.substeps, dtype=belief.mean.dtype)
        mean, spread = jax.lax.scan(one, (belief.mean, form.spread(belief)), index)[0]
        return form.belief(mean, spread, time)

    def _stepped(self, form, transition, moments, t, h, u):
        """The moments after one Gaussian step."""
        mean, spread = moments
        fit = self._fitted(lambda x: transition.moments(x, t, t + h, u), mean, form.factor(spread))
        return fit.mean, form.moved(form.of(jnp.eye(len(mean), dtype=mean.dtype)), fit.slope, form.of(fit.rest))

    def _flowed(self, form, transition, moments, t, h, u):
        """One Runge-Kutta step of the moment equations."""
        begin = (moments[0], form.covariance(moments[1]))

        def slope(s, shift, previous):
            mean, covariance = jax.tree.map(lambda a, b: a + shift * b, begin, previous)
            fit = self._fitted(lambda x: transition.rates(x, t + s, u), mean, semidefinite_factor(covariance))
            across = fit.slope @ fit.factor.T
            return fit.mean, across + across.T + fit.noise

        a = slope(0.0, 0.0, begin)
        b = slope(h / 2, h / 2, a)
        c = slope(h / 2, h / 2, b)
        d = slope(h, h, c)
        mean, covariance = jax.tree.map(lambda x, a, b, c, d: x + h / 6 * (a + 2 * b + 2 * c + d), begin, a, b, c, d)
        return mean, form.of(covariance)

    def _fitted(self, law, mean, factor):
        """The law x -> (mean, factor) under x = mean + F z, z ~ N(0, I), fitted as y + B z + rest."""
        points, weights, spread = self.rule.points(mean.shape[0], mean.dtype)
        values, columns = jax.vmap(lambda z: law(mean + factor @ z))(points)
        return _Fit.of(points, weights, spread, values, jnp.einsum("i,iab,icb->ac", weights, columns, columns), factor)

    def update(self, problem, belief, datum, *, key=None):
        """The correction by a datum, about the last iterate."""
        observation, form = problem.resolve().observation, form_for(self.form, belief.mean.dtype)
        mask, mean, spread = observed(datum.value), belief.mean, form.spread(belief)
        prior = form.factor(spread)
        unit = form.of(jnp.eye(len(mean), dtype=mean.dtype))

        def corrected(fit, slope, error):
            """The (mean, spread) of x = m + F z after y = `fit.mean` + slope z + rest, and what the datum did to z."""
            new = form.corrected(unit, slope, fit.rest, mask)
            nothing = form.of_factor(jnp.zeros((len(mean), 0), mean.dtype))
            return (mean + prior @ (new.gain @ error), form.moved(new.spread, prior, nothing)), new

        first = self._seen(observation, datum, mean, prior)
        error = first.error(observation, datum, mask)
        moments, new = corrected(first, first.slope, error)
        info = gaussian_info(error, new.root, new.variance, mask, first.mean)
        for _ in range(self.iterations - 1):
            fit = self._seen(observation, datum, moments[0], form.factor(moments[1]))
            matrix = fit.matrix()
            error = fit.error(observation, datum, mask) - jnp.where(mask, matrix @ (mean - moments[0]), 0.0)
            moments = corrected(fit, matrix @ prior, error)[0]
        return choose(mask.any(), form.belief(*moments, belief.time), belief), info

    def _seen(self, observation, datum, mean, factor):
        """The observation's fit under x = mean + F z; deviations are taken as the observation takes differences."""
        points, weights, spread = self.rule.points(mean.shape[0], mean.dtype)
        law = lambda x: observation.moments(x, datum.time, datum.inputs)  # noqa: E731
        centre = law(mean)[0]
        values, noise = jax.vmap(lambda z: law(mean + factor @ z))(points)
        values = centre + jax.vmap(lambda y: observation.innovation(y, centre))(values)
        return _Fit.of(points, weights, spread, values, jnp.tensordot(weights, noise, 1), factor)


class _Fit(eqx.Module):
    """A law under x = m + F z, z ~ N(0, I), fitted as mean + slope z + a rest of covariance `rest`, of which `noise` is the
    average of the law's own."""

    mean: jax.Array
    slope: jax.Array
    rest: jax.Array
    noise: jax.Array
    factor: jax.Array

    @classmethod
    def of(cls, points, weights, spread, values, noise, factor):
        """From the values of the law's mean at the points, and its average covariance."""
        mean = weights @ values
        slope = (values - mean).T @ (weights[:, None] * points)
        bend = values - mean - points @ slope.T
        return cls(mean, slope, symmetric(bend.T @ (spread[:, None] * bend) + noise), noise, factor)

    def error(self, observation, datum, mask):
        """The datum less the mean, 0 where it is missing."""
        return jnp.where(mask, observation.innovation(filled(datum.value, self.mean), self.mean), 0.0)

    def matrix(self):
        """The slope in x: B F^-1, where F has a pivot."""
        pivots = jnp.diagonal(self.factor) > 0
        whole = self.factor + jnp.diag(jnp.where(pivots, 0.0, 1.0))
        return jnp.where(pivots, upper_solve(whole, self.slope.T).T, 0.0)
