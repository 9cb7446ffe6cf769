"""A fit of the recent past in another process, whose posterior becomes the stream's between two data."""

from __future__ import annotations

import collections
import contextlib
import os
import signal
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, CancelledError, Future, ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from filterlearn.beliefs.ensemble import Ensemble
from filterlearn.beliefs.gaussian import AbstractGaussianBelief
from filterlearn.beliefs.joint import JointBelief
from filterlearn.beliefs.particles import Particles
from filterlearn.clock import whole


class Row(NamedTuple):
    """A datum that the session absorbed: its time as a number, value and inputs."""

    time: float
    value: np.ndarray
    inputs: Any


def with_parameters(belief, draws, key):
    """A `Joint` belief whose parameters are those draws `(n, p)`, unconstrained, independent of the state, which stays.

    Of a Gaussian belief their mean and covariance; of an ensemble and particles the draws, chosen again where there are
    fewer. Raises TypeError for another belief, and ValueError for draws of another shape or that are not finite.
    """
    if not isinstance(belief, JointBelief):
        raise TypeError(
            f"belief: that of Joint is needed, got {type(belief).__name__}; begin a session on informed(family, tree)"
        )
    stacked, split = belief.stacked, belief.split
    size = stacked.mean.shape[0] - split
    draws = jnp.asarray(draws, stacked.mean.dtype)
    if draws.ndim != 2 or draws.shape[1] != size or len(draws) <= size or not bool(jnp.isfinite(draws).all()):
        raise ValueError(f"draws: finite, of shape (n, {size}) with n > {size}, are needed, got shape {draws.shape}")
    return eqx.tree_at(lambda b: b.stacked, belief, _replaced(stacked, split, draws, key))


def _replaced(stacked, split, draws, key):
    if isinstance(stacked, AbstractGaussianBelief):
        mean = jnp.concatenate([stacked.mean[:split], draws.mean(axis=0)])
        own = jnp.atleast_2d(jnp.cov(draws, rowvar=False))
        return stacked.with_moments(mean, jax.scipy.linalg.block_diag(stacked.covariance[:split, :split], own))
    leaf = {Ensemble: "members", Particles: "points"}.get(type(stacked))
    if leaf is None:
        raise TypeError(f"belief: a Gaussian, an Ensemble or Particles is needed inside Joint, got {type(stacked).__name__}")
    points = getattr(stacked, leaf)
    chosen = jax.random.choice(key, draws, (len(points),), replace=len(draws) < len(points))
    return eqx.tree_at(lambda b: getattr(b, leaf), stacked, points.at[:, split:].set(chosen))


class Refit:
    """Every `every` data the last `window` go to `fit` in another process, and its posterior comes back between two data.

    `fit(times, values, inputs)` is a function that the other process can import, not a lambda, of arrays `(T,)`, `(T, m)`
    and `(T, k)` or None; it returns unconstrained draws `(n, p)`, such as those of `fl.fit`. Call `after(session, report,
    inputs)` for each report. When the draws are there, the belief at the time of the handing over gets them as its
    parameters, its state staying, and the data since then are absorbed again: each datum counts once, none is dropped.
    For `Joint` learners without replay. A fit that fails leaves the stream as it is; `.failed` says why.
    """

    def __init__(self, fit: Callable, *, window: int, every: int):
        self.fit, self.every = fit, whole("every", every, 1)
        self.swaps, self.failed = 0, None
        self._window, self._since = collections.deque(maxlen=whole("window", window, 1)), []
        self._pool = ProcessPoolExecutor(1, mp_context=get_context("spawn"))
        self._running: Future | None = None
        self._worker: Future | None = None  # the number of the other process
        self._start, self._count = None, 0

    def after(self, session, report, inputs=None) -> bool:
        """Tells of a datum that was absorbed; whether a posterior was swapped in."""
        if "duplicate" in report.flags or "late" in report.flags:
            return False
        row = Row(session.time, report.value, None if inputs is None else np.asarray(inputs))
        self._window.append(row)
        self._count += 1
        if self._running is not None:
            self._since.append(row)
            return self._running.done() and self._swap(session, self._running)
        if self._count >= self.every:
            self._hand_over(session)
        return False

    def _hand_over(self, session):
        columns = zip(*self._window, strict=True)
        times, values, inputs = (None if each[0] is None else np.stack(each) for each in columns)
        self._start, self._since, self._count = session.belief, [], 0
        self._worker = self._worker or self._pool.submit(os.getpid)
        self._running = self._pool.submit(self.fit, times, values, inputs)

    def _swap(self, session, running):
        """The draws into the belief of then, and what came since once more."""
        self._running = None
        if (error := running.exception()) is not None:
            self.failed = error
            return False
        key = jax.random.fold_in(session.key, session.count)
        session.rebuilt(with_parameters(self._start, running.result(), key), self._since)
        self.swaps += 1
        return True

    def close(self) -> None:
        """Ends the other process, in the midst of a fit too."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        if self._running is not None and self._worker is not None and self._worker.done():
            with contextlib.suppress(OSError, BrokenExecutor, CancelledError):  # it has ended already, or never began
                os.kill(self._worker.result(), signal.SIGTERM)
