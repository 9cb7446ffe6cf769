"""Many weighted points told apart in few clusters."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int


def clusters(points: Float[Array, "N f"], weights: Float[Array, "N"], size: int) -> Int[Array, "N"]:
    """The cluster, 0 to size - 1, of each point: again and again those two are joined whose joining adds least to the sum
    within clusters of w |x - mean|^2, w_i w_j / (w_i + w_j) |x_i - x_j|^2 (Ward 1963, doi:10.1080/01621459.1963.10500845).

    Nothing is differentiated. Points of weight zero are joined first.
    """
    count, (points, weights) = points.shape[0], jax.lax.stop_gradient((points, weights))

    def join(_, carry):
        centres, mass, alive, label = carry
        distance = jnp.sum((centres[:, None] - centres[None]) ** 2, axis=-1)
        both = mass[:, None] + mass[None]
        cost = mass[:, None] * mass[None] / jnp.where(both > 0, both, 1.0) * distance
        pairs = alive[:, None] & alive[None] & (jnp.arange(count)[:, None] < jnp.arange(count))
        best = jnp.argmin(jnp.where(pairs, cost, jnp.inf))
        kept, gone = best // count, best % count
        total = mass[kept] + mass[gone]
        share = jnp.where(total > 0, mass[gone] / jnp.where(total > 0, total, 1.0), 0.0)
        centres = centres.at[kept].add(share * (centres[gone] - centres[kept]))
        return centres, mass.at[kept].set(total), alive.at[gone].set(False), jnp.where(label == gone, kept, label)

    start = (points, weights, jnp.ones(count, bool), jnp.arange(count))
    _, _, alive, label = jax.lax.fori_loop(0, count - size, join, start)
    return (jnp.cumsum(alive) - 1)[label]
