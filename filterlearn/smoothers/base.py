"""What a smoother does, and the driver."""

import abc
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Float

from filterlearn.analyses.base import centred
from filterlearn.beliefs.base import AbstractBelief, AbstractSeries
from filterlearn.beliefs.gaussian import AbstractGaussianBelief, DiffuseGaussian
from filterlearn.beliefs.joint import JointBelief
from filterlearn.beliefs.particles import Particles, drawn_by_weight
from filterlearn.inputs import by_row
from filterlearn.models.base import AbstractGaussianTransition
from filterlearn.numerics.densities import degenerate_normal, normal_peak
from filterlearn.numerics.diffuse import Vague, conditioned
from filterlearn.numerics.small import semidefinite_factor, semidefinite_solve, symmetric
from filterlearn.protocol import Trajectory, needed, origin_of


class Smoothed(AbstractSeries):
    """Beliefs given all the data, with time on the first axis, and the data."""

    beliefs: Any
    data: Any


class AbstractSmoother(eqx.Module):
    """How filtered beliefs are revised by the data after them."""

    @abc.abstractmethod
    def backward(self, problem, beliefs, data, *, key):
        """The smoothed beliefs, from the filtered ones (time first)."""

    def check_run(self, problem, trajectory, key) -> None:
        """Raises where the trajectory is seen not to be of the run that is needed."""


@eqx.filter_jit
def _smooth(smoother, problem, beliefs, data, key):
    return smoother.backward(problem, beliefs, data, key=key)


def smooth(smoother, problem, trajectory, *, key=None) -> Smoothed:
    """p(x_k | y_1..T) at each time of a trajectory that `run` made without `save`.

    A smoother of ensembles needs the key of the run. Raises TypeError when the trajectory does not hold its beliefs.
    """
    kept = isinstance(trajectory, Trajectory) and isinstance(trajectory.saved, tuple)
    if not kept or not isinstance(trajectory.saved[0], AbstractBelief):
        raise TypeError("trajectory: the beliefs are needed; take what run(...) returns without `save`")
    smoother.check_run(problem, trajectory, key)
    return Smoothed(_smooth(smoother, problem, trajectory.beliefs, trajectory.data, key), trajectory.data)


def neighbours(beliefs, *others):
    """The beliefs but the last, and beside each the next row of the others."""
    return jax.tree.map(lambda leaf: leaf[:-1], beliefs), *jax.tree.map(lambda leaf: leaf[1:], others)


class StepDensity(eqx.Module):
    """log f(x' | x_i) of one Gaussian step from each of N points, by its means `(N, n)` and lower factors `(N, n, n)`; a
    direction without noise must be met, up to rounding."""

    means: Any
    factors: Any

    @classmethod
    def of(cls, transition, points, t0, t1, inputs):
        """From means and factors of the step at every point."""
        means, wide = jax.vmap(lambda x: transition.moments(x, t0, t1, inputs))(points)
        return cls(means, jax.vmap(lambda factor: semidefinite_factor(factor @ factor.T))(wide))

    def at(self, point, index):
        """log f(point | x_index)."""
        return degenerate_normal(point, self.means[index], self.factors[index])

    def __call__(self, point):
        """log f(point | x_i) for every i."""
        return jax.vmap(lambda index: self.at(point, index))(jnp.arange(self.means.shape[0]))

    def peak(self):
        """The highest value that any of them takes."""
        return jnp.max(jax.vmap(normal_peak)(self.factors))


def check_density(name, transition) -> None:
    """TypeError unless the law of a gap is one Gaussian step, whose density is known."""
    if not isinstance(transition, AbstractGaussianTransition) or not transition.gaussian or transition.substeps != 1:
        given = type(transition).__name__
        raise TypeError(
            f"transition: {name} needs one substep of Gaussian law, got {given}; take steps=1 between closer data"
        )


class AbstractBackwardSampler(AbstractSmoother):
    """Paths drawn from the last particles back to the first."""

    draws: eqx.AbstractVar[int]

    @abc.abstractmethod
    def chosen(self, log_weights, density, points, ancestors, key):
        """For each of the points at k + 1 the index of a particle at k, by weight times density; `ancestors` are those that
        the filter moved there, None where it keeps no lineage."""

    def check(self, beliefs, transition) -> None:
        """TypeError unless the beliefs are particles and the transition has a density."""
        name = type(self).__name__
        if not isinstance(beliefs, Particles):
            raise TypeError(f"trajectory: {name} needs Particles, got {type(beliefs).__name__}; use RauchTungStriebel")
        check_density(name, transition)

    def backward(self, problem, beliefs, data, *, key):
        """One scan from the last particles to the first."""
        transition = problem.resolve().transition
        self.check(beliefs, transition)
        rows, read = by_row(data.inputs)
        keys = jax.random.split(needed(key), len(data))

        def one(carry, each):
            index, after = carry
            belief, time, lineage, row, own = each
            density = StepDensity.of(transition, belief.points, origin_of(belief.time, time), time, read(row))
            ancestors = None if lineage is None else lineage.places[index]
            new = self.chosen(belief.log_weights, density, after, ancestors, own)
            return (new, belief.points[new]), belief.points[new]

        pairs = neighbours(beliefs, beliefs.time, beliefs.lineage, rows, keys)
        index = drawn_by_weight(beliefs.log_weights[-1], self.draws, keys[0]).astype(jnp.int32)
        last = beliefs.points[-1][index]
        earlier = jax.lax.scan(one, (index, last), pairs, reverse=True)[1]
        return even(jnp.concatenate([earlier, last[None]]), beliefs.time)


def even(points, times):
    """Equally weighted particles at each time: row j of every time is path j."""
    weights = jnp.full(points.shape[:2], -jnp.log(points.shape[1]), points.dtype)
    return jax.vmap(Particles)(points, weights, times)


def stacked(belief):
    """The belief about all that the filter moves, parameters too."""
    return belief.stacked if isinstance(belief, JointBelief) else belief


def restacked(belief, new):
    """The belief with another in the place of `stacked`."""
    return eqx.tree_at(lambda b: b.stacked, belief, new) if isinstance(belief, JointBelief) else new


def with_moments(belief, mean, covariance):
    """The Gaussian belief with other moments."""
    return restacked(belief, stacked(belief).with_moments(mean, covariance))


def sloped(filter, problem, belief, time, inputs):
    """(the derivative of the predicted mean with respect to the mean, the prediction)."""
    p = stacked(belief).covariance

    def ahead(mean):
        moved = filter.predict(problem, with_moments(belief, mean, p), time, inputs)
        return stacked(moved).mean, moved

    return jax.jacfwd(ahead, has_aux=True)(stacked(belief).mean)


class Return(NamedTuple):
    """One step back, or several: from N(m, P) at its end to N(G m + g, G P G' + L), `matrix` G, `mean` g, `spread` L."""

    matrix: Float[Array, "n n"]
    mean: Float[Array, "n"]
    spread: Float[Array, "n n"]


def returned(moments, step: Return):
    """Mean and covariance before a step, given those after it."""
    mean, covariance = moments
    return step.matrix @ mean + step.mean, symmetric(step.matrix @ covariance @ step.matrix.T + step.spread)


def _proper_return(filter, problem, belief, time, inputs):
    """G = P A' P'^-1, g = m - G m', L = P - G P' G'."""
    m, p = stacked(belief).mean, stacked(belief).covariance
    matrix, ahead = sloped(filter, problem, belief, time, inputs)
    moved = stacked(ahead)
    gain = semidefinite_solve(moved.covariance, matrix @ p).T
    return Return(gain, m - gain @ moved.mean, symmetric(p - gain @ moved.covariance @ gain.T))


def _vague_return(filter, problem, belief, time, inputs):
    """The limit of the same where part of P grows without bound: the law of x given x' = A x + b + noise, as an update by a
    datum x'. NaN along a direction that x' does not tell of either."""
    matrix, _ = sloped(filter, problem, belief, time, inputs)
    noise = filter.predict(problem, belief.with_moments(belief.mean, jnp.zeros_like(belief.covariance)), time, inputs)
    offset, seen = noise.mean - matrix @ belief.mean, jnp.ones(belief.mean.shape, bool)

    def back(ahead):
        law = Vague(belief.mean, belief.covariance, belief.diffuse)
        m, p, d = conditioned(law, matrix, ahead - offset, noise.covariance, seen)[0]
        return m, (m, p + jnp.diag(jnp.where(jnp.diagonal(d) > 0, jnp.nan, 0.0)))

    gain, (mean, spread) = jax.jacfwd(back, has_aux=True)(jnp.zeros_like(belief.mean))
    return Return(gain, mean, spread)


def returns(filter, problem, beliefs, data):
    """(the last belief, the steps back over all gaps). TypeError unless the beliefs are Gaussian, or of a diffuse start."""
    kind = stacked(beliefs)
    if not isinstance(kind, AbstractGaussianBelief | DiffuseGaussian):
        name = type(kind).__name__
        raise TypeError(f"trajectory: Gaussian beliefs are needed, got {name}; filter with a Gaussian filter and start")
    rows, read = by_row(data.inputs)
    back = _vague_return if isinstance(kind, DiffuseGaussian) else _proper_return
    one = lambda belief, time, row: back(filter, problem, belief, time, read(row))  # noqa: E731
    last = jax.tree.map(lambda leaf: leaf[-1], beliefs)
    return last, jax.vmap(one)(*neighbours(beliefs, beliefs.time, rows))


def known(belief):
    """A smoothed belief, which is not diffuse."""
    kept = stacked(belief)
    return eqx.tree_at(lambda b: b.diffuse, kept, 0 * kept.diffuse) if isinstance(kept, DiffuseGaussian) else belief


def check_known(trajectory) -> None:
    """ValueError where the last belief is still diffuse, so that nothing smoothed has a proper law."""
    kept = stacked(trajectory.last)
    if isinstance(kept, DiffuseGaussian) and not isinstance(kept.diffuse, Tracer):
        vague = np.flatnonzero(np.diagonal(kept.diffuse) > 0).tolist()
        if vague:
            raise ValueError(
                f"trajectory: after the last datum states {vague} are still diffuse; give more data, or a proper start"
            )


class AbstractRauchTungStriebel(AbstractSmoother):
    """Gaussian beliefs revised backward, each given the next alone."""

    filter: eqx.AbstractVar[Any]

    def check_run(self, problem, trajectory, key) -> None:
        """A diffuse start is forgotten by the end."""
        check_known(trajectory)

    @abc.abstractmethod
    def sweep(self, last, steps: Return):
        """The moments before each step, from those after the last one."""

    def backward(self, problem, beliefs, data, *, key):
        """The steps of all gaps side by side, then their sweep."""
        last, steps = returns(self.filter, problem, beliefs, data)
        moments = self.sweep((stacked(last).mean, stacked(last).covariance), steps)
        earlier = known(jax.vmap(with_moments)(neighbours(beliefs)[0], *moments))
        return jax.tree.map(lambda a, b: jnp.concatenate([a, b[None]]), earlier, last)


def followed(change, ahead, past):
    """How members `past` `(N, k)` change with members `ahead` `(N, n)` that change by `change` `(N, n)`: by the least squares
    slope, found in the smaller of the two spaces of the regression."""
    here, there = centred(ahead)[1], centred(past)[1]
    if here.shape[1] < here.shape[0]:
        return change @ semidefinite_solve(here.T @ here, here.T @ there)
    return change @ here.T @ semidefinite_solve(here @ here.T, there)
