"""The residual diffusion bridge."""

import jax
import jax.numpy as jnp

from filterlearn.proposals.base import AbstractConditioned
from filterlearn.quadratures.base import AbstractQuadrature


class ResidualBridge(AbstractConditioned):
    """Draws each of the substeps of a gap given the datum at its end, as `ModifiedBridge` does, but for the residual
    r = x - e about the path e without noise from the point at the gap's start (Whitaker, Golightly, Boys & Sherlock 2017,
    doi:10.1007/s11222-016-9660-3): over a substep h with D left, e moving at the rate d now and to e_T at the end,

        x' ~ N(x + h (a + b H' S^-1 (y - H (e_T + r + D (a - d)))), h (b - h b H' S^-1 H b)),    S = D H b H' + R.

    The drift may bend the path within the gap as it likes; only what the residual adds to it is held. Weighs by density
    times transition over proposal, so that the filter stays consistent for the scheme's own law, whose evidence it
    estimates without bias. Costs one pass more of the drift. The observation is linearised to first order or by `rule`.
    Raises TypeError for substeps that are not of Gaussian law.
    """

    rule: AbstractQuadrature | None = None

    def course(self, model, x, start, datum):
        """The path without noise, by the means of the substeps."""
        steps = model.transition.substeps
        h = (datum.time - start) / steps

        def one(point, k):
            new = model.transition.moments(point, start + k * h, start + (k + 1) * h, datum.inputs)[0]
            return new, (point, new)

        end, (before, after) = jax.lax.scan(one, x, jnp.arange(steps, dtype=x.dtype))
        return end - before, after - before
