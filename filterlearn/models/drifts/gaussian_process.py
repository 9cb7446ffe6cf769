"""A Gaussian process as the drift."""

import functools
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from filterlearn.models.drifts.base import AbstractDrift

_JITTER = 1e-6  # of the process's variance


class GaussianProcessDrift(AbstractDrift):
    """f = scale k(x, C) L^-T V - pull x, with k(a, b) = exp(-|a - b|^2 / 2 lengthscale^2), centres C `(m, n)` and
    L L' = k(C, C): with normal V `(m, n)`, one Gaussian process of sd `scale` for each state, seen at its centres (the subset
    of regressors: Quinonero-Candela & Rasmussen 2005, JMLR 6, 1939-1959; as a drift Ruttor, Batz & Opper 2013,
    arXiv:1305.4510).

    The prior of the process is `ModelFamily.from_module(drift, build, where=lambda d: d.weights, scale=1.0)`; linear in its
    weights, so that their posterior is nearly Gaussian. Near the centres, about a lengthscale apart, it is the process; far
    from them f falls to -pull x. `scale` and `pull` are per unit of time; lengthscale and centres are held. Raises ValueError
    by argument.
    """

    weights: Any
    scale: Any
    pull: Any
    centres: tuple = eqx.field(static=True)
    lengthscale: float = eqx.field(static=True)

    def __init__(self, centres, lengthscale: float, *, scale=1.0, pull=0.0, key):
        centres = np.asarray(centres, float)
        if centres.ndim != 2 or not np.isfinite(centres).all():
            raise ValueError(f"centres: finite states of shape (m, n) are needed, got shape {centres.shape}")
        if not 0 < lengthscale < np.inf:
            raise ValueError(f"lengthscale: a positive number is needed, got {lengthscale!r}")
        self.centres, self.lengthscale = tuple(map(tuple, centres.tolist())), float(lengthscale)
        self.weights = jax.random.normal(key, centres.shape)
        self.scale, self.pull = scale, pull

    def __call__(self, t, x, u):
        centres, root = np.array(self.centres, x.dtype), _whitening(self.centres, self.lengthscale).astype(x.dtype)
        near = jnp.exp(-jnp.sum((x - centres) ** 2, axis=1) / (2 * self.lengthscale**2))
        return self.scale * (near @ (root @ self.weights)) - self.pull * x


@functools.cache
def _whitening(centres, lengthscale):
    """L^-T, a constant of the trace."""
    points = np.array(centres)
    kernel = np.exp(-np.sum((points[:, None] - points) ** 2, axis=2) / (2 * lengthscale**2))
    return np.linalg.inv(np.linalg.cholesky(kernel + _JITTER * np.eye(len(points)))).T
