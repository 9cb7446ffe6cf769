"""Expectation maximisation one datum at a time."""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from filterlearn.beliefs.gaussian import Gaussian
from filterlearn.beliefs.joint import RecollectingBelief
from filterlearn.clock import whole
from filterlearn.filters.base import proper_start
from filterlearn.filters.kalman import Kalman
from filterlearn.learners.base import AbstractLearner, check_family, informed
from filterlearn.models.observations.linear_gaussian import LinearGaussianObservation
from filterlearn.models.transitions.discrete import LinearDiscrete
from filterlearn.numerics.ascent import ascended
from filterlearn.numerics.masking import choose, filled, masked_covariance, observed
from filterlearn.numerics.quadratic import averaged, constant, normal_form, products, pulled, second_moment
from filterlearn.numerics.small import semidefinite_factor, semidefinite_solve, symmetric
from filterlearn.protocol import NOT_FINITE, AbstractAlgorithm, origin_of, strong


class _Recollection(NamedTuple):
    """Given the present state x, as quadratic functions of it: the weighed means of w w' for w = (x_k-1, x_k, 1) and of v v'
    for v = (x_k, y_k, 1), and d log p(x_1..k, y_1..k) / d theta less its mean. `weight` is that of the prior."""

    moved: Float[Array, "w w k k"]
    seen: Float[Array, "v v k k"]
    score: Float[Array, "p k k"]
    weight: Float[Array, ""]
    count: Int[Array, ""]


def _parts(model):
    """(A, b, Q) and (H, d, R)."""
    step, seen = model.transition, model.observation
    offset = jnp.zeros(step.noise.shape[0], step.noise.dtype) if step.offset is None else step.offset
    return (step.matrix, offset, step.noise), seen.linear(0.0)


def _law_of_step(model) -> Float[Array, "w w"]:
    """log f(x' | x) as a quadratic function of w = (x, x', 1)."""
    (a, b, q), _ = _parts(model)
    return normal_form(jnp.concatenate([-a, jnp.eye(b.shape[0], dtype=b.dtype), -b[:, None]], axis=1), semidefinite_factor(q))


def _law_of_datum(model) -> Float[Array, "v v"]:
    """log g(y | x) as a quadratic function of v = (x, y, 1)."""
    _, (h, d, r) = _parts(model)
    return normal_form(jnp.concatenate([-h, jnp.eye(d.shape[0], dtype=d.dtype), -d[:, None]], axis=1), semidefinite_factor(r))


def _back(model, before, ahead):
    """w = (x_k-1, x_k, 1) given x_k and the data before it: a matrix on (x_k, 1), and a covariance."""
    (a, _, q), _ = _parts(model)
    p, n = before.covariance, before.mean.shape[0]
    gain = semidefinite_solve(ahead.covariance, a @ p).T
    left = jnp.eye(n, dtype=p.dtype) - gain @ a
    spread = symmetric(left @ p @ left.T + gain @ q @ gain.T)
    from_end = jnp.concatenate([gain, (before.mean - gain @ ahead.mean)[:, None]], axis=1)
    return jnp.concatenate([from_end, jnp.eye(n + 1, dtype=p.dtype)]), jnp.pad(spread, (0, n + 1))


def _completed(model, value):
    """v = (x, y, 1) given x and the entries of y that are there: a matrix on (x, 1), and a covariance."""
    _, (h, d, r) = _parts(model)
    n, told = h.shape[1], observed(value)
    both = told[:, None] & told
    mean = jnp.concatenate([h, d[:, None]], axis=1)
    known = jnp.zeros_like(mean).at[:, -1].set(filled(value, d))
    slope = semidefinite_solve(masked_covariance(r, told), jnp.where(told[:, None] & ~told, r, 0.0)).T
    y = jnp.where(told[:, None], known, mean + slope @ jnp.where(told[:, None], known - mean, 0.0))
    spread = jnp.where(told[:, None] | told, 0.0, r - slope @ jnp.where(both, r, 0.0) @ slope.T)
    state = jnp.eye(n + 1, dtype=h.dtype)
    return jnp.concatenate([state[:n], y, state[n:]]), jnp.pad(jnp.pad(symmetric(spread), (n, 0)), (0, 1))


class OnlineEM(AbstractLearner):
    """The smoothed means of what a linear-Gaussian model says of its parameters, one datum at a time, and the parameters that
    are most likely under them (Cappe 2011, doi:10.1198/jcgs.2011.09109; the linear-Gaussian recursions: Elliott &
    Krishnamurthy 1999, IEEE Transactions on Automatic Control 44, 938-951):

        T_k(x) = (1 - gain_k) E[T_k-1(x_k-1) | x_k = x, y_1..k] + gain_k E[s(x_k-1, x_k, y_k) | x_k = x, y_1..k],
        theta_k = argmax of E[log f + log g] under E[T_k(x_k) | y_1..k], plus the log prior at its weight,

    s the products of (x_k-1, x_k, 1) and of (x_k, y_k, 1), T quadratic functions of x: exact at a frozen theta, at a cost
    that does not grow. Missing entries of y are completed too. `gain` is a number, or a function of the number k = 0, 1, ...
    of steps that the state has made: with 1 / (k + 1) every datum and the prior count once, which makes the start hard to
    forget; (k + 1)^-.6 forgets it; a constant follows parameters that move. The prior's weight starts at 1 and is multiplied
    by 1 - gain_k. The maximum is sought by `iterations` Newton steps from the last theta, none of which goes down, on the
    unconstrained scale, from the prior's median.

    `parameters` is Gaussian, with covariance P: P^-1 starts at the prior's precision and gains s s' at each datum, s the
    score of log p(y_k | y_1..k-1), which T gives by Fisher's identity: the spread of an efficient estimate of what does not
    move. The law of the first state counts as known.

    Needs `Kalman`, `LinearDiscrete` and `LinearGaussianObservation` made of arrays: matrices that change with time or with
    inputs have no statistics of a fixed size. What the noise-free directions of a transition say of theta is not learned.
    """

    filter: AbstractAlgorithm
    gain: Any
    iterations: int = eqx.field(static=True, default=1)

    def __check_init__(self):
        if not isinstance(self.filter, Kalman):
            raise TypeError(f"filter: Kalman is needed, got {type(self.filter).__name__}; use RecursiveMaximumLikelihood")
        if isinstance(self.gain, float | int) and not 0 < self.gain <= 1:
            raise ValueError(f"gain: a number above 0 and at most 1, or a function of the step, is needed, got {self.gain}")
        whole("iterations", self.iterations, 1)

    def init(self, problem, *, key=None):
        """theta where learners start, the filter's start there, and nothing to recollect."""
        theta = strong(self._checked(problem).start.mean)
        model, state = problem(theta).resolve(), self.filter.init(problem(theta))
        n, m, dtype = state.mean.shape[0], model.observation.linear(0.0)[1].shape[0], theta.dtype
        moved, seen, score = (
            jnp.zeros((*shape, n + 1, n + 1), dtype) for shape in (2 * (2 * n + 1,), 2 * (n + m + 1,), theta.shape)
        )
        past = _Recollection(moved, seen, score, jnp.ones((), dtype), jnp.zeros((), jnp.int32))
        return strong(RecollectingBelief(Gaussian.of(theta, problem.start.covariance, state.time), state, past))

    def _checked(self, problem):
        check_family(problem)
        if problem.moving:
            raise TypeError(f"dynamics: OnlineEM holds parameters still, {list(problem.moving)} move; give a constant gain")
        model = problem(problem.median).resolve()
        for name, kind in (("transition", LinearDiscrete), ("observation", LinearGaussianObservation)):
            given = getattr(model, name)
            if not isinstance(given, kind) or any(callable(part) for part in vars(given).values()):
                name_given = type(given).__name__ + (" of functions" if isinstance(given, kind) else "")
                raise TypeError(f"{name}: OnlineEM needs {kind.__name__} of arrays, got {name_given}")
        proper_start(model.initial)
        return problem

    def _gain(self, count, dtype):
        step = count.astype(dtype)
        return jnp.asarray(self.gain(step) if callable(self.gain) else self.gain, dtype)

    def predict(self, problem, belief, time, inputs=None, *, key=None):
        """The filter's prediction; what is recollected, given the state that it predicts."""
        theta, before = belief.parameters.mean, belief.state
        ahead = self.filter.predict(problem(theta), before, time, inputs)
        past = self._onward(problem, theta, belief.past, _back(problem(theta).resolve(), before, ahead))
        known = eqx.tree_at(lambda b: b.time, belief.parameters, time)
        return RecollectingBelief(known, ahead, choose(time > origin_of(before.time, time), past, belief.past))

    def _onward(self, problem, theta, past, back):
        matrix, spread = back
        n = matrix.shape[1] - 1
        ends = jnp.concatenate([matrix[:n], matrix[-1:]]), jnp.pad(spread[:n, :n], (0, 1))
        gain = self._gain(past.count + 1, theta.dtype)
        moved, seen, score = (pulled(each, *ends) for each in past[:3])
        slopes = jnp.moveaxis(jax.jacfwd(lambda th: _law_of_step(problem(th).resolve()))(theta), -1, 0)
        moved = (1 - gain) * moved + gain * products(matrix, spread)
        rest = (1 - gain) * seen, score + pulled(slopes, matrix, spread), (1 - gain) * past.weight, past.count + 1
        return _Recollection(moved, *rest)

    def update(self, problem, belief, datum, *, key=None):
        """The filter's correction; the datum recollected, and theta renewed."""
        theta, known = belief.parameters.mean, belief.parameters
        state, info = self.filter.update(problem(theta), belief.state, datum)
        now = second_moment(state.mean, state.covariance)
        past, score = self._with_datum(problem, theta, belief.past, datum, now)
        theta = ascended(self._objective(problem, past, now), theta, self.iterations)
        known = eqx.tree_at(lambda b: (b.mean, b.covariance), known, (theta, informed(known.covariance, score[:, None])))
        new = choose(observed(datum.value).any(), RecollectingBelief(known, state, past), belief)
        lost = NOT_FINITE * ~jnp.isfinite(score).all()
        return new, eqx.tree_at(lambda i: i.flags, info, (info.flags | lost).astype(info.flags.dtype))

    def _with_datum(self, problem, theta, past, datum, now):
        """(what is recollected, the score of the datum)."""
        complete = _completed(problem(theta).resolve(), datum.value)
        slopes = jnp.moveaxis(jax.jacfwd(lambda th: _law_of_datum(problem(th).resolve()))(theta), -1, 0)
        score = past.score + pulled(slopes, *complete)
        told = averaged(score, now)
        seen = past.seen + self._gain(past.count, theta.dtype) * products(*complete)
        return past._replace(seen=seen, score=score - constant(told, now.shape[0])), told

    def _objective(self, problem, past, now):
        moved, seen = averaged(past.moved, now), averaged(past.seen, now)

        def value(theta):
            model = problem(theta).resolve()
            complete = averaged(_law_of_step(model), moved) + averaged(_law_of_datum(model), seen)
            return complete + past.weight * problem.log_prior(theta)

        return value
