"""An SDE that is seen without noise."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from filterlearn.inputs import by_row
from filterlearn.numerics.densities import masked_normal
from filterlearn.numerics.small import cholesky
from filterlearn.training.objectives.base import AbstractObjective


class QuasiLikelihood(AbstractObjective):
    """-sum over rows of log N(x_k+1; x_k + f h, g g' h) for the SDE `build(module)`: the Gaussian quasi-likelihood (Eguchi &
    Masuda 2018, arXiv:1801.10378).

    A series is a Dataset that sees the state without noise, h its gaps; f and g are taken at row k, with the inputs of row
    k + 1. Pairs of rows with a missing entry, or at equal times, are left out. Biased in the gaps, to order h; consistent
    as they fall while the series lengthens. The diffusion needs full rank.
    """

    build: Callable

    def loss(self, module, series, key):
        """Minus the sum, in nats."""
        sde = self.build(module)
        t, x, h = series.times[:-1], series.values[:-1], jnp.diff(series.times)
        step = jnp.diff(series.values, axis=0)
        seen = jnp.all(jnp.isfinite(step), axis=1) & (h > 0)
        x, step, h = jnp.where(seen[:, None], x, 0.0), jnp.where(seen[:, None], step, 0.0), jnp.where(seen, h, 1.0)
        rows, read = by_row(series.inputs)
        rows = None if rows is None else rows[1:]

        def term(t, x, h, step, row):
            u = read(row)
            g = sde.noise_matrix(t, x, u)
            mask = jnp.ones(x.shape, bool)
            return masked_normal(step - h * sde.drift(t, x, u), cholesky(h * g @ g.T), mask)

        return -jnp.sum(jnp.where(seen, jax.vmap(term)(t, x, h, step, rows), 0.0))
