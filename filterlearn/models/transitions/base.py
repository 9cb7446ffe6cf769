"""What the fixed-step schemes share: substeps by `lax.scan`, noise drawn at once, jumps after the diffusion."""

import abc
from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.scipy.special import log_ndtr, ndtr

from filterlearn.models.base import AbstractGaussianTransition, AbstractJumping
from filterlearn.models.jumps import (
    candidates,
    counted_jumps,
    jump_moments,
    kind_keys,
    split_noise,
    thinned_jump,
    total_bound,
    with_keys,
)
from filterlearn.models.sde import SDE
from filterlearn.numerics.small import applied, safe_sqrt


class AbstractOneStep(AbstractGaussianTransition):
    """A transition whose whole gap is one Gaussian step: mean + factor z."""

    @property
    def substeps(self) -> int:
        """One step."""
        return 1

    def noise_shape(self, x, u=None):
        """One normal for each state."""
        return x.shape

    def push(self, x, t0, t1, u, noise):
        """A draw of the step."""
        mean, factor = self.moments(x, t0, t1, u)
        return mean + applied(factor, noise)


class AbstractStepping(AbstractJumping):
    """A scheme that takes `substeps` equal substeps of an SDE in each gap."""

    sde: eqx.AbstractVar[SDE]

    @abc.abstractmethod
    def diffuse(self, x, t, h, u, z):
        """One substep of the drift and diffusion, with standard normals z."""

    @abc.abstractmethod
    def drifted(self, x, t, h, u):
        """The mean of one substep without jumps."""

    @property
    def gaussian(self) -> bool:
        """Whether there are no jumps."""
        return not self.sde.jumps

    def with_steps(self, steps):
        """The same scheme with another number of substeps."""
        return type(self)(self.sde, steps=steps)  # ty: ignore[invalid-argument-type, unknown-argument]

    def refined(self):
        """The same scheme with twice the substeps."""
        return self.with_steps(2 * self.substeps)

    @property
    def kinds(self) -> tuple:
        """Those of the SDE."""
        return self.sde.jumps

    def without_jumps(self):
        """The scheme with the SDE without jumps."""
        return eqx.tree_at(lambda scheme: scheme.sde, self, SDE(self.sde.drift, self.sde.diffusion))

    def given_jumps(self, counts, t0, t1, u=None):
        """The jumps of a part spread evenly over it: their sum has its mean and covariance where the drift is constant."""
        each = self.substeps // len(counts)
        if self.substeps % len(counts):
            raise ValueError(f"steps: a multiple of the {len(counts)} parts of a gap is needed, got {self.substeps}")
        counts = jnp.repeat(counts, each, axis=0) / each
        return _Flowing(scheme=self, counts=counts, start=jnp.asarray(t0, counts.dtype), substeps=self.substeps)

    def given_times(self, counts, passed, t0, t1, u=None):
        """Each jump in the substep that its time falls in, as the scheme draws it."""
        on = jnp.arange(passed.shape[1]) < counts[:, None]
        here = jnp.floor(passed * self.substeps) == jnp.arange(self.substeps)[:, None, None]
        counts = jnp.sum(on & here, axis=2, dtype=passed.dtype)
        return _Jumped(scheme=self, counts=counts, start=jnp.asarray(t0, passed.dtype), substeps=self.substeps)

    def core(self, x):
        """The part of the state that the SDE moves."""
        return x

    def jumped(self, x, change, counts):
        """The state after jumps of the core, of which there were `counts` of each kind."""
        return x + change

    @property
    def unroll(self) -> int:
        """Substeps in one turn of the loop: four are twice as fast as one, and still quick to compile."""
        return min(self.substeps, 4)

    def brownian(self, x, u):
        """The number of Brownian motions."""
        zero = jnp.zeros((), x.dtype)
        return jax.eval_shape(lambda y: self.sde.noise_matrix(zero, y, u), self.core(x)).shape[1]

    def width(self, x, u):
        """The number of normals that `diffuse` takes, those of the Brownian increments first."""
        return self.brownian(x, u)

    def noise_shape(self, x, u=None):
        """(substeps + candidates, width + n + 1 for each kind of jump + 2 where there are candidates)."""
        jumps, slots = self.sde.jumps, candidates(self.sde.jumps)
        width = self.width(x, u) + len(jumps) * (self.core(x).shape[0] + 1)
        return (self.substeps + slots, width + 2 * (slots > 0))

    def draw_noise(self, n, x, u=None, *, key):
        """The normals; with a key for each member where marks are neither Normal nor Delta."""
        return with_keys(partial(super().draw_noise, n, x, u), n, self.sde.jumps, self.core(x), u, key)

    def push(self, x, t0, t1, u, noise):
        """x(t1), substep by substep, and from candidate to candidate where an intensity has a bound."""
        normals, key = split_noise(noise)
        keys = None if key is None else jax.random.split(key, normals.shape[0])
        move = self._thinned if candidates(self.sde.jumps) else self._stepped
        return move(x, jnp.asarray(t0, x.dtype), t1 - t0, u, normals, keys)

    def _rows(self, z):
        return z.reshape(len(self.sde.jumps), -1)

    def _stepped(self, x, t0, gap, u, normals, keys):
        h, m, jumps = gap / self.substeps, self.width(x, u), self.sde.jumps

        def one(carry, each):
            (y, t), (z, key) = carry, each
            new = self.diffuse(y, t, h, u, z[:m])
            if jumps:
                drawn = counted_jumps(jumps, self.core(y), t, h, u, self._rows(z[m:]), kind_keys(key, jumps))
                new = self.jumped(new, *drawn)
            return (new, t + h), None

        return jax.lax.scan(one, (x, t0), (normals, keys), unroll=self.unroll)[0][0]

    def _thinned(self, x, t0, gap, u, normals, keys):
        h, m, jumps = gap / self.substeps, self.width(x, u), self.sde.jumps
        slots, bound = candidates(jumps), total_bound(jumps, x.dtype)

        def one(carry, each):
            (y, past, used), (index, z, key) = carry, each
            end = jnp.minimum(index + 1 - used, self.substeps) * h  # the end of this substep, counted from t0
            wait = -log_ndtr(z[0]) / bound  # to the next candidate; memoryless, so drawn anew at each substep
            candidate = (wait < end - past) & (used < slots)
            dt = jnp.where(candidate, wait, jnp.maximum(end - past, 0.0))
            rows, own = self._rows(z[2 + m :]), kind_keys(key, jumps)
            new = self.diffuse(y, t0 + past, dt, u, z[2 : 2 + m])
            new = self.jumped(new, *counted_jumps(jumps, self.core(y), t0 + past, dt, u, rows, own))
            change, counts, held = thinned_jump(jumps, self.core(new), t0 + past + dt, u, ndtr(z[1]), rows, own)
            after = jnp.where(held, self.jumped(new, change, counts), jnp.nan)
            after = jnp.where(candidate, after, new)
            return (after, jnp.where(candidate, past + wait, end), used + candidate), None

        start = (x, jnp.zeros((), x.dtype), jnp.zeros((), x.dtype))
        index = jnp.arange(normals.shape[0], dtype=x.dtype)
        return jax.lax.scan(one, start, (index, normals, keys))[0][0]

    def law(self, x, t, h, u):
        """Mean and factor of one substep without jumps; unless overridden, with the diffusion at its start."""
        return self.drifted(x, t, h, u), safe_sqrt(h) * self.sde.noise_matrix(t, x, u)

    def rates(self, x, t, u):
        """Drift, and a factor of the covariance per unit of time, the jumps by their first two moments."""
        extra, columns = jump_moments(self.sde.jumps, x, t, jnp.ones((), x.dtype), u)
        return self.sde.drift(t, x, u) + extra, jnp.concatenate([self.sde.noise_matrix(t, x, u), *columns], axis=1)

    def moments(self, x, t0, t1, u=None):
        """Mean and factor of the covariance of one substep, those of its jumps added."""
        h = t1 - t0
        extra, columns = jump_moments(self.sde.jumps, x, t0, h, u)
        mean, factor = self.law(x, t0, h, u)
        return mean + extra, jnp.concatenate([factor, *columns], axis=1)


class _AbstractGiven(AbstractGaussianTransition):
    """A scheme over the one gap from `start` in whose substeps there are so many jumps of each kind, `(steps, kinds)`."""

    scheme: AbstractStepping
    counts: jax.Array
    start: jax.Array
    substeps: int = eqx.field(static=True)

    def within(self, t0, h):
        """The counts of a substep."""
        index = jnp.clip(jnp.round((t0 - self.start) / jnp.where(h > 0, h, 1.0)), 0, self.substeps - 1).astype(int)
        return jnp.where(h > 0, self.counts[index], 0.0)

    def noise_shape(self, x, u=None):
        """One normal for each column of a substep's factor."""
        return (self.substeps, jax.eval_shape(lambda y: self.moments(y, self.start, self.start, u)[1], x).shape[1])

    def push(self, x, t0, t1, u, noise):
        """A draw, substep by substep."""
        h = (t1 - t0) / self.substeps

        def one(y, each):
            k, z = each
            mean, factor = self.moments(y, t0 + k * h, t0 + (k + 1) * h, u)
            return mean + applied(factor, z), None

        return jax.lax.scan(one, x, (jnp.arange(self.substeps, dtype=x.dtype), noise))[0]


class _Jumped(_AbstractGiven):
    """The jumps of a substep at its end, as the scheme draws them."""

    def moments(self, x, t0, t1, u=None):
        """Mean and factor without jumps, those of the sum of the substep's marks added."""
        (mean, factor), columns = self.scheme.without_jumps().moments(x, t0, t1, u), []
        for count, jump in zip(self.within(t0, t1 - t0), self.scheme.sde.jumps, strict=True):
            _, mark, root = jump.moments(t0, x, u)
            mean, columns = mean + count * mark, [*columns, safe_sqrt(count) * root]
        return mean, jnp.concatenate([factor, *columns], axis=1)


class _Flowing(_AbstractGiven):
    """The jumps of a substep as a steady flow over it."""

    def moments(self, x, t0, t1, u=None):
        """Those of the scheme whose SDE has the flow in drift and noise."""
        h = t1 - t0
        flow = self.scheme.sde.with_flow(self.within(t0, h) / jnp.where(h > 0, h, 1.0))
        return eqx.tree_at(lambda scheme: scheme.sde, self.scheme, flow).moments(x, t0, t1, u)
