"""Compound-Poisson jumps: the law, its draws and its moments."""

import itertools
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
from jax.core import Tracer
from jax.scipy.special import ndtr

from filterlearn.clock import whole
from filterlearn.models.base import timed
from filterlearn.numerics.small import safe_sqrt, semidefinite_factor


class CompoundPoisson(eqx.Module):
    """Jumps of the state, `intensity` of them per unit of the data's time, each adding a mark drawn from a numpyro law.

    Intensity and mark law are constants or functions of (t, x, u); both read x(t-). A law of one number is drawn for each
    state by itself; any other has the state's shape `(n,)`. A state that does not jump has mean 0 and scale 0:
    `Normal(mean, scale, validate_args=False)`.

    Without `bound` the count in a substep of length h is Poisson(intensity h) with the intensity at its start: exact when
    the intensity is constant, else biased of weak order 1 in h. The sum of Normal or Delta marks is drawn in closed form;
    marks of any other law one by one. At most `most` jumps are drawn in a substep: more come with probability
    P(Poisson(intensity h) > most), 1e-6 at intensity h = 1 and most = 8, and those are left out.

    With `bound`, a number above every intensity, jumps come by thinning: candidates at rate `bound`, the scheme stepped to
    each, a jump there with probability intensity(x(t-)) / bound (Lewis & Shedler 1979, doi:10.1002/nav.3800260304; for jump
    diffusions Casella & Roberts 2011, doi:10.1007/s11009-009-9163-1). Exact in the times of the jumps, however many in a
    gap; what is left is the scheme's own error between them. A gap holds `most` candidates: more come with probability
    P(Poisson(bound gap) > most), and jumps after those are left out; the cost grows with `most`. Where an intensity exceeds
    the bound at a candidate the state becomes NaN, which `ParticleFilter` flags as out of range.

    Derivatives of a draw hold the counts fixed. Raises ValueError or TypeError by argument: a mark law of another shape, a
    constant intensity above the bound.
    """

    intensity: Any = eqx.field(converter=timed)
    mark: Any = eqx.field(converter=timed)
    bound: Any = None
    most: int = eqx.field(static=True, default=8)

    def __check_init__(self):
        if not isinstance(self.mark, dist.Distribution) and not callable(self.mark):
            raise TypeError(f"mark: a numpyro law or a function (t, x, u) is needed, got {type(self.mark).__name__}")
        whole("most", self.most, 1)
        if self.bound is None or isinstance(self.bound, Tracer):
            return
        if callable(self.bound) or not 0 < float(self.bound) < float("inf"):
            raise ValueError(f"bound: a positive number is needed, got {self.bound!r}")
        if not callable(self.intensity) and not isinstance(self.intensity, Tracer) and self.intensity > self.bound:
            raise ValueError(f"bound: at least the intensity {self.intensity!r} is needed, got {self.bound!r}")

    def rate(self, t, x, u):
        """The intensity at a state."""
        return jnp.asarray(self.intensity(t, x, u) if callable(self.intensity) else self.intensity, x.dtype)

    def law(self, t, x, u):
        """The mark law at a state."""
        law = self.mark if isinstance(self.mark, dist.Distribution) else self.mark(t, x, u)
        if law.shape() == x.shape:
            return law
        if law.event_shape or law.batch_shape not in ((), (1,)):
            raise ValueError(f"mark: a law of shape {x.shape} is needed, got {law.shape()}")
        return law.expand(x.shape)

    def moments(self, t, x, u):
        """Intensity, mark mean `(n,)` and a factor of the mark covariance `(n, k)`."""
        law = self.law(t, x, u)
        try:
            mean, variance = law.mean, law.variance
        except NotImplementedError:
            raise TypeError(f"mark: a law with a mean and a variance is needed, got {type(law).__name__}") from None
        full = hasattr(law, "covariance_matrix")
        factor = semidefinite_factor(law.covariance_matrix) if full else jnp.diag(safe_sqrt(variance))
        return self.rate(t, x, u), mean, factor

    def marks(self, size, t, x, u, normals, key):
        """`size` marks `(size, n)`: from the normals where the law is Normal or Delta, else from the key."""
        law = self.law(t, x, u)
        if closed(law):
            return law.mean + safe_sqrt(law.variance) * normals
        return jnp.asarray(law.sample(key, (size,)), x.dtype)

    def summed(self, count, size, t, x, u, normals, key):
        """The sum of `count` marks, at most `size` when they are drawn one by one."""
        law = self.law(t, x, u)
        if closed(law):
            return count * law.mean + safe_sqrt(count) * safe_sqrt(law.variance) * normals
        return sum_first(count, self.marks(size, t, x, u, normals, key))


def checked_jumps(jumps) -> tuple:
    """One or several CompoundPoisson as a tuple."""
    jumps = tuple(jumps) if isinstance(jumps, tuple | list) else (jumps,)
    for jump in jumps:
        if not isinstance(jump, CompoundPoisson):
            raise TypeError(f"jumps: CompoundPoisson is needed, got {type(jump).__name__}")
    return jumps


def closed(law) -> bool:
    """Whether the law is Normal or Delta, so that the sum of many marks is drawn at once."""
    while isinstance(law, dist.Independent | dist.ExpandedDistribution):
        law = law.base_dist
    return isinstance(law, dist.Normal | dist.Delta)


def with_keys(draw, n, jumps, x, u, key):
    """The noise `draw(key=...)`; with a key for each of n members where marks are neither Normal nor Delta."""
    if all(closed(jump.law(jnp.zeros((), x.dtype), x, u)) for jump in jumps):
        return draw(key=key)
    first, second = jax.random.split(key)
    return draw(key=first), jax.random.split(second, n)


def split_noise(noise):
    """The normals, and the key or None."""
    return noise if isinstance(noise, tuple) else (noise, None)


def kind_keys(key, jumps):
    """A key for each kind of jump, or None for each."""
    return [None] * len(jumps) if key is None else list(jax.random.split(key, len(jumps)))


def sum_first(count, rows):
    """The sum of the first `count` rows."""
    return jnp.sum(jnp.where(jnp.arange(rows.shape[0])[:, None] < count, rows, 0.0), axis=0)


def poisson_count(rate, uniform, most):
    """The Poisson count at a uniform, by inversion (up to `most`)."""
    term = jnp.exp(-rate)
    total, count = term, jnp.zeros_like(rate)
    for k in range(1, most + 1):
        count = count + (uniform > total)
        term = term * rate / k
        total = total + term
    return count


def every_count(kinds) -> np.ndarray:
    """Every choice of numbers of jumps, `(hypotheses, kinds)`, none first."""
    return np.array(list(itertools.product(*(range(kind.most + 1) for kind in kinds))))


def placed_counts(kinds, parts) -> tuple[np.ndarray, np.ndarray]:
    """Numbers of jumps in each of `parts` equal parts of a gap, `(hypotheses, parts, kinds)`, and the share of each
    hypothesis in the law of its numbers: a jump alone is in any of the parts, several are spread evenly."""
    alone = np.eye(parts)[:, :, None]
    placed = [alone * row if row.sum() == 1 else np.full((1, parts, 1), 1 / parts) * row for row in every_count(kinds)]
    return np.concatenate(placed), np.concatenate([np.full(len(rows), 1 / len(rows)) for rows in placed])


def count_chances(kinds, counts, mean, start, time, inputs, share=1.0):
    """Log-probabilities of the rows of `counts`, each a `share` of all with its numbers: Poisson laws at the mean, without
    more than `most` jumps."""
    rates = jnp.stack([kind.rate(start, mean, inputs) for kind in kinds]) * (time - start)
    terms = jnp.where(
        rates > 0,
        counts * jnp.log(jnp.where(rates > 0, rates, 1.0)) - jax.scipy.special.gammaln(counts + 1.0),
        jnp.where(counts > 0, -jnp.inf, 0.0),
    )
    return jax.nn.log_softmax(jnp.sum(terms, axis=1) + jnp.log(share))


def counted_jumps(jumps, x, t, h, u, rows, keys):
    """Jumps without a bound in a substep from x: their sum `(n,)` and counts `(kinds,)`; a row of 1 + n normals each."""
    total, counts = jnp.zeros_like(x), []
    for jump, row, key in zip(jumps, rows, keys, strict=True):
        count = jnp.zeros((), x.dtype)
        if jump.bound is None:
            count = poisson_count(jump.rate(t, x, u) * h, ndtr(row[0]), jump.most)
            total = total + jump.summed(count, jump.most, t, x, u, row[1:], key)
        counts.append(count)
    return total, jnp.stack(counts)


def thinned_jump(jumps, x, t, u, uniform, rows, keys):
    """The jump at a candidate of the bounded kinds together: its mark `(n,)`, the counts `(kinds,)` and whether the bounds
    hold. The uniform times the sum of the bounds falls within one kind's bound, and below its intensity or not."""
    total, counts, held = jnp.zeros_like(x), [], jnp.asarray(True)
    place = uniform * total_bound(jumps, x.dtype)
    for jump, row, key in zip(jumps, rows, keys, strict=True):
        count = jnp.zeros((), x.dtype)
        if jump.bound is not None:
            rate = jump.rate(t, x, u)
            count = ((place >= 0) & (place < rate)).astype(x.dtype)
            total = total + jump.summed(count, 1, t, x, u, row[1:], key)
            place, held = place - jump.bound, held & (rate <= jump.bound)
        counts.append(count)
    return total, jnp.stack(counts), held


def total_bound(jumps, dtype):
    """The rate of the candidates."""
    return sum((jnp.asarray(jump.bound, dtype) for jump in jumps if jump.bound is not None), start=jnp.zeros((), dtype))


def candidates(jumps) -> int:
    """The number of candidates that a gap holds."""
    return sum(jump.most for jump in jumps if jump.bound is not None)


def jump_moments(jumps, x, t, h, u):
    """Mean of the jumps in a substep, and the columns they add to the covariance factor."""
    mean, columns = jnp.zeros_like(x), []
    for jump in jumps:
        rate, m, factor = jump.moments(t, x, u)
        mean = mean + rate * h * m
        columns += [safe_sqrt(rate * h) * m[:, None], safe_sqrt(rate * h) * factor]
    return mean, columns
