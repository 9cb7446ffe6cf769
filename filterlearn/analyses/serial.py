"""The serial ensemble square-root filter."""

import jax
import jax.numpy as jnp

from filterlearn.analyses.base import AbstractAnalysis, Taper, centred


class Serial(AbstractAnalysis):
    """One entry of the datum after another, each with the gain K for the mean and alpha K for the anomalies,
    alpha = 1 / (1 + sqrt(1 / (s + 1))) in whitened units (Whitaker & Hamill 2002,
    doi:10.1175/1520-0493(2002)130<1913:EDAWPO>2.0.CO;2).

    Without a taper, mean and covariance are those of the Kalman update with the sample moments, exactly. A `Taper` damps each
    gain with distance (R should be diagonal then).
    """

    taper: Taper | None = None

    def revise(self, members, seen, *, key):
        """A scan over the entries of the datum."""
        n = members.shape[0]
        mean, anomalies = centred(members)
        predicted = jnp.sqrt(n - 1.0) * seen.spread.T
        size, m = members.shape[1], seen.error.shape[0]
        damp = jnp.ones((m, size + m), members.dtype)
        if self.taper is not None:
            damp = jnp.concatenate(self.taper.weights(members, seen), axis=0).T
        stacked = jnp.concatenate([anomalies, predicted], axis=1)
        centre = jnp.concatenate([mean, -seen.error])

        def one(carry, each):
            centre, stacked = carry
            j, weight = each
            y = stacked[:, size + j]
            s = y @ y / (n - 1)
            gain = weight * (y @ stacked) / (n - 1) / (s + 1.0)
            alpha = 1.0 / (1.0 + jnp.sqrt(1.0 / (s + 1.0)))
            return (centre - gain * centre[size + j], stacked - alpha * jnp.outer(y, gain)), None

        (centre, stacked), _ = jax.lax.scan(one, (centre, stacked), (jnp.arange(m), damp))
        return centre[:size] + stacked[:, :size]
