"""Resampling by a diffusion run backward."""

import equinox as eqx
import jax
import jax.numpy as jnp

from filterlearn.beliefs.particles import weighing, weighted_covariance, weighted_mean
from filterlearn.clock import whole
from filterlearn.numerics.sampling import normals
from filterlearn.numerics.small import lower_solve, safe_sqrt, semidefinite_factor
from filterlearn.resamplers.base import AbstractResampler

_LEAST = -60.0  # of a log-weight: lighter points carry nothing that rounding would keep


class Diffusion(AbstractResampler):
    """New points from noise, carried back along the diffusion that turns the weighted points into noise and has a known score
    (Andersson & Zhao 2026, arXiv:2512.10401).

    In coordinates where the points have mean 0 and covariance I, the Ornstein-Uhlenbeck process that forgets them has the law
    of cos(a) z_I + sin(a) e at the angle a, I an index drawn by weight, e ~ N(0, I); its probability flow is

        dz/da = (cos(a) z - E[z_I | z, a]) / sin(a),    E[z_I | z, a] = sum_i p_i z_i,
        p_i proportional to w_i exp(-|z - cos(a) z_i|^2 / (2 sin(a)^2)),

    followed by `steps` equal Euler steps from z ~ N(0, I) at a = pi/2, where it starts exactly, to 0. Where the points are
    nearly Gaussian the flow stands still and one step is exact; on the others of the tests four keep mean and covariance
    within 5 %.

    Differentiable in points and weights at a fixed key, O(steps N^2). Biased for a given number of steps, the evidence too;
    consistent as `steps` and N grow, each new point being a draw of the weighted points in the limit. More steps bring points
    nearer to copies, and the derivative nearer to a jump's: over a long series of few points it grows out of hand.
    """

    steps: int = eqx.field(static=True, default=4)

    def __check_init__(self):
        whole("steps", self.steps, 1)

    def resample(self, log_weights, tree, *, key):
        """The points that the noise is carried to, equally weighted."""
        held = jnp.where(log_weights > _LEAST, log_weights, -jnp.inf)
        points = weighing(tree, jnp.exp(held))
        mean, factor = _spread(points, jnp.exp(held))
        invertible = factor + jnp.diag(jnp.where(jnp.diagonal(factor) > 0, 0.0, 1.0))
        white = lower_solve(invertible, (points - mean).T).T
        new = _carried_back(white, held, normals(key, points.shape, points.dtype), self.steps)
        return mean + new @ factor.T, jnp.full_like(log_weights, -jnp.log(log_weights.shape[0]))


def _spread(points, weights):
    """Mean, and a lower factor of the covariance; coordinates of any scale."""
    mean, covariance = weighted_mean(points, weights), weighted_covariance(points, weights)
    scale = safe_sqrt(jnp.diagonal(covariance))
    unit = jnp.where(scale > 0, scale, 1.0)
    return mean, scale[:, None] * semidefinite_factor(covariance / unit[:, None] / unit)


def _carried_back(white, log_weights, noise, steps):
    """The flow from the angle pi/2 to 0."""
    square, width = 0.5 * jnp.sum(white**2, axis=1), 0.5 * jnp.pi / steps

    def one(z, left):
        cosine, sine = jnp.cos(left * width), jnp.sin(left * width)
        logits = log_weights + (cosine * z @ white.T - cosine**2 * square) / sine**2
        origin = jax.nn.softmax(logits, axis=1) @ white
        return z - width / sine * (cosine * z - origin), None

    return jax.lax.scan(one, noise, jnp.arange(steps, 0, -1, dtype=noise.dtype), unroll=min(steps, 4))[0]
