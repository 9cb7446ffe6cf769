"""Variational smoothing and learning, one datum at a time."""

import functools
import math
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jax.flatten_util import ravel_pytree
from jax.lax import stop_gradient
from jaxtyping import Array, Float

from filterlearn.beliefs.gaussian import Gaussian, SquareRootGaussian
from filterlearn.beliefs.joint import RecollectingBelief
from filterlearn.clock import whole
from filterlearn.filters.base import averaged_info, proper_start
from filterlearn.guides.base import AbstractGuide, Kernel, raw_of
from filterlearn.learners.base import AbstractLearner, check_family, informed, moved
from filterlearn.models.base import AbstractGaussianTransition, AbstractLinearTransition
from filterlearn.numerics.densities import masked_normal
from filterlearn.numerics.masking import choose, observed
from filterlearn.numerics.sampling import normals
from filterlearn.numerics.small import cholesky, lower_solve
from filterlearn.protocol import NOT_FINITE, needed, origin_of, strong
from filterlearn.quadratures.cubature import Cubature
from filterlearn.regressions.base import AbstractRegression
from filterlearn.regressions.polynomial import Polynomial

_RULE = Cubature()
_FAR = 3.0  # beyond the radius of most points, in standard deviations


class Recollection(NamedTuple):
    """Of the present state, as a function of e = L^-1 (x - m): `values` tells (dV / de, S) by the regression, S less `mean`.
    `kernel` led to the state before, N(`before`) in whose coordinates it ends, from `ahead`, the prediction."""

    values: Any
    mean: Any
    kernel: Kernel
    before: SquareRootGaussian
    ahead: SquareRootGaussian
    optimiser: Any


def _step_law(transition, t0, t1, u):
    """x -> mean and lower factor of one step."""
    if isinstance(transition, AbstractLinearTransition):
        a, b, q = transition.discretise(t0, t1, u)
        factor = cholesky(q)
        return lambda x: (a @ x + b, factor)

    def law(x):
        mean, factor = transition.moments(x, t0, t1, u)
        return mean, cholesky(factor @ factor.T)

    return law


def _log_normal(x, mean, factor):
    """log N(x; mean, L L')."""
    return masked_normal(x - mean, factor, jnp.ones(x.shape, bool))


class OnlineVariational(AbstractLearner):
    """q(x_1:t) = q_t(x_t) prod q_k(x_k-1 | x_k), fitted one step at a time, and theta climbing the bound (Campbell, Shi,
    Rainforth & Doucet 2021, arXiv:2110.13549):

        V_t(x) = E_q(x_t-1 | x)[V_t-1(x_t-1) + log f(x | x_t-1) - log q(x_t-1 | x)] + log g(y_t | x),
        S_t(x) = E_q(x_t-1 | x)[S_t-1(x_t-1) + d log f / d theta] + d log g / d theta,
        theta_t = theta_t-1 + step(E_q_t S_t - E_q_t-1 S_t-1),

    each kernel where E[V_t before the datum] is highest, starting from the affine one of the moments, then q_t where
    E_q_t[V_t - log q_t] is. The cost of a step does not grow with t. `guide` is the form of q: `FullRank()`, `MeanField()` or
    `NetworkGuide(width)`. dV_t / dx and S_t are kept as a `regression` on `size` points: `Polynomial(2)`, exact where the
    model is linear Gaussian and the guide full, or `KernelRidge()`. A fit takes `iterations` steps of `climb`, an optax
    transformation (None: Adam with gains from .1 to 0 along a cosine and eps .1, so that small gradients are followed and not
    blown up), each on `draws` normals by reparameterised gradients, the score of q itself left out (Roeder, Wu & Duvenaud
    2017, arXiv:1703.09194); inner expectations by cubature.

    `optimiser`, `parameters` and the state at theta are as in `RecursiveMaximumLikelihood`, but P^-1 gains s s' at each
    datum, s its score. `optax.set_to_zero()` holds theta, for a filter of any Gaussian step and any density of the data.
    Biased by the form of q and by the regression; `log_evidence` is the bound of the datum under the Gaussian prediction. The
    law of the first state counts as known.

    Needs one substep of Gaussian law, with noise in every direction.
    """

    guide: AbstractGuide
    optimiser: Any
    regression: AbstractRegression = Polynomial()
    climb: Any = None
    iterations: int = eqx.field(static=True, default=100)
    draws: int = eqx.field(static=True, default=32)
    size: int = eqx.field(static=True, default=200)

    def __check_init__(self):
        for name, given, least in (("iterations", self.iterations, 0), ("draws", self.draws, 1), ("size", self.size, 1)):
            whole(name, given, least)
        for name, given, kind in (("guide", self.guide, AbstractGuide), ("regression", self.regression, AbstractRegression)):
            if not isinstance(given, kind):
                raise TypeError(f"{name}: one of the {name}s is needed, got {type(given).__name__}")
        climbs = [("optimiser", self.optimiser)] + ([] if self.climb is None else [("climb", self.climb)])
        for name, given in climbs:
            if not isinstance(given, optax.GradientTransformation):
                raise TypeError(f"{name}: an optax transformation is needed, got {type(given).__name__}")

    @property
    def _optimiser(self):
        return optax.with_extra_args_support(self.optimiser)

    def init(self, problem, *, key=None):
        """theta where learners start, the initial law there, and its slope."""
        theta = strong(self._checked(problem).start.mean)
        start = proper_start(problem(theta).resolve().initial)
        n, dtype = start.mean.shape[0], start.mean.dtype
        if self.size < (least := self.regression.least(n)):
            raise ValueError(f"size: at least {least} points are needed for {n} states, got {self.size}")
        first, second = jax.random.split(needed(key))
        points = normals(first, (self.size, n), dtype)
        values = self.regression.fitted(
            points, jnp.concatenate([-points, jnp.zeros((self.size, theta.shape[0]), dtype)], axis=1)
        )
        state = SquareRootGaussian(start.mean, self.guide.factor(start.covariance), start.time)
        zero = jnp.zeros((n, n), dtype)
        kernel = Kernel(zero, zero[0], zero, self.guide.start(n, dtype, key=second))
        past = Recollection(values, jnp.zeros_like(theta), kernel, state, state, self._optimiser.init(theta))
        return strong(RecollectingBelief(Gaussian.of(theta, problem.start.covariance, state.time), state, past))

    def _checked(self, problem):
        check_family(problem)
        step = problem(problem.median).resolve().transition
        if not isinstance(step, AbstractGaussianTransition) or not step.gaussian or step.substeps != 1:
            raise TypeError(f"transition: OnlineVariational needs one substep of Gaussian law, got {type(step).__name__}")
        return problem

    def _climbed(self, objective, fit, n, key):
        """The fit after all iterations; objective(fit, normals `(n,)`)."""
        gains = optax.cosine_decay_schedule(0.1, max(self.iterations, 1))
        climb = optax.adam(gains, eps=0.1) if self.climb is None else self.climb
        flat, whole_of = ravel_pytree(fit)

        def mean(flat, noise):
            return -jnp.mean(jax.vmap(lambda e: objective(whole_of(flat), e))(noise))

        def one(carry, noise):
            flat, state = carry
            step, state = climb.update(jax.grad(mean)(flat, noise), state, flat)
            return (flat + step, state), None

        noise = normals(key, (self.iterations, self.draws, n), flat.dtype)
        return whole_of(jax.lax.scan(one, (flat, climb.init(flat)), noise)[0][0])

    def _told(self, past, e):
        """(dV / de, S). Far from all points V falls as that of N(0, I), so that it has a maximum whatever the regression."""
        n, reach = e.shape[0], math.sqrt(e.shape[0]) + _FAR
        near = e * reach / jnp.maximum(jnp.linalg.norm(e), reach)
        return self.regression.at(past.values, near)[:n] - (e - near), self.regression.at(past.values, e)[n:] - past.mean

    def earlier(self, belief, x: Float[Array, "n"], noise: Float[Array, "n"]) -> Float[Array, "n"]:
        """x_t-1 given x_t under q, from standard normals."""
        past = belief.past
        z = lower_solve(past.ahead.factor, (x - past.ahead.mean)[:, None])[:, 0]
        e = self.guide.mean(past.kernel, z) + self.guide.lower(past.kernel.raw) @ noise
        return past.before.mean + past.before.factor @ e

    def pair(self, belief) -> tuple[Float[Array, "k"], Float[Array, "k k"]]:
        """Mean and covariance of (x_t-1, x_t) under q, by cubature: exact where the kernel is affine."""
        n = belief.mean.shape[0]
        nodes, weights, _ = _RULE.points(2 * n, belief.mean.dtype)
        now = belief.state.mean + nodes[:, :n] @ belief.state.factor.T
        before = jax.vmap(functools.partial(self.earlier, belief))(now, nodes[:, n:])
        points = jnp.concatenate([before, now], axis=1)
        mean = weights @ points
        return mean, (points - mean).T @ (weights[:, None] * (points - mean))

    def predict(self, problem, belief, time, inputs=None, *, key=None):
        """The moments of the prediction, and the kernel back from it; V and S before the datum."""
        known, before = moved(problem, belief.parameters, time), belief.state
        t0 = origin_of(before.time, time)
        first, second = jax.random.split(needed(key))

        def law(theta):
            return _step_law(problem(theta).resolve().transition, t0, time, inputs)

        ahead, kernel = self._forecast(law(known.mean), before, time, belief.past.kernel.bend)
        step = _Step(self, belief.past, law, known.mean, before, ahead)
        kernel = self._climbed(step.objective, kernel, 2 * before.mean.shape[0], first)
        points = normals(second, (self.size, before.mean.shape[0]), before.mean.dtype)
        values = self.regression.fitted(points, jax.vmap(functools.partial(step.recalled, kernel))(points))
        past = Recollection(values, jnp.zeros_like(known.mean), kernel, before, ahead, belief.past.optimiser)
        later = time > t0
        state = choose(later, ahead, SquareRootGaussian(before.mean, before.factor, time))
        return RecollectingBelief(known, state, choose(later, past, belief.past))

    def _forecast(self, step, before, time, bend):
        """The moments of the next state, and the kernel that has theirs."""
        points, weights, _ = _RULE.points(before.mean.shape[0], before.mean.dtype)
        means, factors = jax.vmap(step)(before.mean + points @ before.factor.T)
        mean = weights @ means
        noise = jnp.einsum("k,kij,klj->il", weights, factors, factors)
        factor = self.guide.factor((means - mean).T @ (weights[:, None] * (means - mean)) + noise)
        slope = self.guide.restricted(lower_solve(factor, (means - mean).T @ (weights[:, None] * points)).T)
        left = self.guide.factor(jnp.eye(mean.shape[0], dtype=mean.dtype) - slope @ slope.T)
        return SquareRootGaussian(mean, factor, time), Kernel(slope, jnp.zeros_like(mean), raw_of(left), bend)

    def update(self, problem, belief, datum, *, key=None):
        """q_t fitted, V and S with the datum, and the optimiser's step."""
        theta, known, prior = belief.parameters.mean, belief.parameters, belief.state
        first, second = jax.random.split(needed(key))
        n = prior.mean.shape[0]

        def seen(theta, x):
            return problem(theta).resolve().observation.log_prob(datum.value, x, datum.time, datum.inputs)

        def objective(fit, noise):
            shift, raw = fit
            z = shift + self.guide.lower(raw) @ noise
            slope = stop_gradient(self._told(belief.past, z)[0])
            own = _log_normal(z, *stop_gradient((shift, self.guide.lower(raw))))
            return slope @ z + seen(theta, prior.mean + prior.factor @ z) - own

        zero = jnp.zeros((n, n), prior.mean.dtype)
        shift, raw = self._climbed(objective, (zero[0], zero), n, first)
        lower = self.guide.lower(raw)

        def recalled(e):
            z = shift + lower @ e
            slope, score = self._told(belief.past, z)
            to_theta, to_x = jax.grad(seen, (0, 1))(theta, prior.mean + prior.factor @ z)
            return jnp.concatenate([lower.T @ (slope + prior.factor.T @ to_x), score + to_theta])

        points = normals(second, (self.size, n), prior.mean.dtype)
        values = self.regression.fitted(points, jax.vmap(recalled)(points))
        nodes, weights, _ = _RULE.points(n, prior.mean.dtype)
        score = weights @ jax.vmap(lambda e: self.regression.at(values, e)[n:])(nodes)
        covariance = informed(known.covariance, score[:, None])
        step, optimiser = self._optimiser.update(-score, belief.past.optimiser, theta, covariance=covariance)
        known = eqx.tree_at(lambda b: (b.mean, b.covariance), known, (theta + step, covariance))
        state = SquareRootGaussian(prior.mean + prior.factor @ shift, prior.factor @ lower, prior.time)
        past = belief.past._replace(values=values, mean=score, optimiser=optimiser)
        new = choose(observed(datum.value).any(), RecollectingBelief(known, state, past), belief)
        reached = weights @ jax.vmap(lambda e: seen(theta, state.mean + state.factor @ e))(nodes)
        bound = reached - 0.5 * (shift @ shift + jnp.sum(lower**2) - n) + jnp.sum(jnp.log(jnp.diagonal(lower)))
        info = averaged_info(problem(theta).resolve().observation, prior.mean + nodes @ prior.factor.T, weights, datum, bound)
        lost = NOT_FINITE * ~jnp.isfinite(score).all()
        return new, eqx.tree_at(lambda i: i.flags, info, (info.flags | lost).astype(info.flags.dtype))


class _Step(eqx.Module):
    """What a kernel is fitted to, from z, the state ahead in its own coordinates."""

    learner: OnlineVariational
    past: Recollection
    law: Any
    theta: Any
    before: SquareRootGaussian
    ahead: SquareRootGaussian

    def _moved(self, theta, e, z):
        """log f."""
        mean, factor = self.law(theta)(self.before.mean + self.before.factor @ e)
        return _log_normal(self.ahead.mean + self.ahead.factor @ z, mean, factor)

    def objective(self, kernel, noise):
        """V + log f - log q at one draw of (z, e)."""
        n = noise.shape[0] // 2
        z, mean, factor = noise[:n], self.learner.guide.mean, self.learner.guide.lower
        e = mean(kernel, z) + factor(kernel.raw) @ noise[n:]
        own = _log_normal(e, *stop_gradient((mean(kernel, z), factor(kernel.raw))))
        return stop_gradient(self.learner._told(self.past, e)[0]) @ e + self._moved(self.theta, e, z) - own

    def recalled(self, kernel, z):
        """(dV / dz, S) before the datum."""
        nodes, weights, _ = _RULE.points(z.shape[0], z.dtype)
        lower = self.learner.guide.lower(kernel.raw)

        def one(noise):
            e, back = jax.vjp(lambda z: self.learner.guide.mean(kernel, z) + lower @ noise, z)
            slope, score = self.learner._told(self.past, e)
            to_theta, to_e, to_z = jax.grad(self._moved, (0, 1, 2))(self.theta, e, z)
            return jnp.concatenate([back(slope + to_e)[0] + to_z, score + to_theta])

        return weights @ jax.vmap(one)(nodes)
