"""A path of the states as something to sample: its density with the data, and moves of it."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from filterlearn.beliefs.base import start_time
from filterlearn.beliefs.particles import drawn_by_weight
from filterlearn.inputs import by_row
from filterlearn.models.base import starting_gaussian, starting_sample, starts_gaussian
from filterlearn.models.gaps import prepared
from filterlearn.numerics.densities import degenerate_normal, normalise
from filterlearn.numerics.masking import observed
from filterlearn.numerics.small import lower_solve, semidefinite_factor
from filterlearn.protocol import origin_of
from filterlearn.smoothers.base import StepDensity


class Steps(NamedTuple):
    """The model at one theta, what a scan over the data takes row by row, and what a row means: (transition, the times that
    a step begins and ends at, inputs, value)."""

    model: Any
    rows: Any
    read: Callable

    @classmethod
    def of(cls, target, theta):
        """Data before the initial time tell nothing."""
        model, data = target.problem(theta).resolve(), target.data
        start = origin_of(start_time(model.initial.time, data.times.dtype), data.times[0])
        laws, here = prepared(model, start, data.times, target.gaps)
        inputs, unpacked = by_row(data.inputs)
        ends = jnp.maximum(data.times, start)
        values = jnp.where((data.times < start)[:, None], jnp.nan, data.values)

        def read(row):
            law, begin, end, given, value = row
            return here(law).transition, begin, end, unpacked(given), value

        return cls(model, (laws, jnp.append(start, ends[:-1]), ends, inputs, values), read)

    def density(self, points, row):
        """The law of the step from each point."""
        transition, begin, end, inputs, _ = self.read(row)
        return StepDensity.of(transition, points, begin, end, inputs)

    def seen(self, point, row):
        """log p(y | x); -inf where it is not a number."""
        _, _, end, inputs, value = self.read(row)
        level = self.model.observation.log_prob(value, point, end, inputs)
        return jnp.where(observed(value).any(), jnp.where(jnp.isnan(level), -jnp.inf, level), 0.0)

    def start(self):
        """Mean and factor of a Gaussian initial law; None for another."""
        if not starts_gaussian(self.model.initial):
            return None
        law = starting_gaussian(self.model.initial)
        return law.mean, semidefinite_factor(law.covariance)

    def opening(self, point):
        """log p(x_0)."""
        law = self.start()
        return self.model.initial.log_prob(point) if law is None else degenerate_normal(point, *law)


def simulated(steps, key):
    """A path of the model, `(T + 1, n)`, the initial state first."""
    first, second = jax.random.split(key)
    x0 = starting_sample(steps.model.initial, 1, first)[0]

    def one(x, each):
        row, own = each
        law = steps.density(x, row)
        after = law.means + law.factors[0] @ jax.random.normal(own, x.shape[1:], x.dtype)
        return after, after[0]

    keys = jax.random.split(second, len(steps.rows[1]))
    return jnp.concatenate([x0, jax.lax.scan(one, x0, (steps.rows, keys))[1]])


def joint_level(steps, path):
    """log p(x_0..T, y_1..T)."""
    moves = jax.vmap(lambda x, after, row: steps.density(x[None], row)(after)[0])(path[:-1], path[1:], steps.rows)
    return steps.opening(path[0]) + jnp.sum(moves) + seen_level(steps, path)


def seen_level(steps, path):
    """log p(y_1..T | x_0..T)."""
    return jnp.sum(jax.vmap(steps.seen)(path[1:], steps.rows))


def _white(x, mean, factor):
    """z of x = mean + L z; 0 in the directions without noise."""
    noisy = jnp.diagonal(factor) > 0
    return jnp.where(noisy, lower_solve(factor + jnp.diag(jnp.where(noisy, 0.0, 1.0)), (x - mean)[:, None])[:, 0], 0.0)


def driven(steps, path, others):
    """The path that the same standard normals make under another theta; an initial state of another law than the Gaussian
    stays."""
    law, other = steps.start(), others.start()
    first = path[0] if law is None else other[0] + other[1] @ _white(path[0], *law)

    def one(x, each):
        before, after, old, own = each
        here, there = steps.density(before[None], old), others.density(x[None], own)
        new = there.means[0] + there.factors[0] @ _white(after, here.means[0], here.factors[0])
        return new, new

    later = jax.lax.scan(one, first, (path[:-1], path[1:], steps.rows, others.rows))[1]
    return jnp.concatenate([first[None], later])


def renewed(steps, path, size, key):
    """A path drawn by particles of which one is the path given, its ancestors drawn too: leaves p(x_0..T | y_1..T) as it is
    for any `size` (Lindsten, Jordan & Schoen 2014, arXiv:1401.0604)."""
    first, second, third = jax.random.split(key, 3)
    points = jnp.concatenate([starting_sample(steps.model.initial, size - 1, first)[0], path[:1]])

    def one(carry, each):
        points, weights = carry
        kept, row, own = each
        by_weight, by_path, noise = jax.random.split(own, 3)
        law = steps.density(points, row)
        back = weights + law(kept)
        parent = jnp.where(jnp.any(jnp.isfinite(back)), jax.random.categorical(by_path, back), size - 1)
        free = drawn_by_weight(weights, size - 1, by_weight)
        pushed = jnp.einsum("ijk,ik->ij", law.factors[free], jax.random.normal(noise, (size - 1, kept.shape[0]), kept.dtype))
        after = jnp.concatenate([law.means[free] + pushed, kept[None]])
        told = normalise(jax.vmap(lambda x: steps.seen(x, row))(after))[0]
        return (after, told), (points, jnp.append(free, parent))

    even = jnp.full(size, -jnp.log(size), path.dtype)
    keys = jax.random.split(second, len(path) - 1)
    (last, weights), (before, parents) = jax.lax.scan(one, (points, even), (path[1:], steps.rows, keys))

    def back(index, each):
        points, parent = each
        return parent[index], points[parent[index]]

    index = jax.random.categorical(third, weights)
    earlier = jax.lax.scan(back, index, (before, parents), reverse=True)[1]
    return jnp.concatenate([earlier, last[index][None]])
