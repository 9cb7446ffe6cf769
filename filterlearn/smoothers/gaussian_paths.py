"""Paths drawn from Gaussian beliefs."""

import equinox as eqx
import jax
import jax.numpy as jnp

from filterlearn.clock import whole
from filterlearn.numerics.sampling import normals
from filterlearn.numerics.small import semidefinite_factor
from filterlearn.protocol import AbstractAlgorithm, needed
from filterlearn.smoothers.base import AbstractSmoother, check_known, even, restacked, returns, stacked


class GaussianPaths(AbstractSmoother):
    """Draws `draws` paths from the last Gaussian belief of `filter` back, each state given the next (Carter & Kohn 1994,
    doi:10.1093/biomet/81.3.541; Fruhwirth-Schnatter 1994, doi:10.1111/j.1467-9892.1994.tb00184.x):

        x_k | x_k+1 ~ N(m_k + G (x_k+1 - m_k+1|k), P_k - G P_k+1|k G'),   G = P_k A' P_k+1|k^-1,

    with A as in `RauchTungStriebel`, whose means and covariances the draws have. Exact for linear-Gaussian models, biased
    like its filter otherwise. With `Joint(filter)` it draws state and parameters together.

    The answer's beliefs are equally weighted `Particles` `(T, draws, n)`: row j of every time is path j. Needs a key
    (ValueError) and Gaussian beliefs (TypeError). After a diffuse start G is its limit; ValueError where the last datum
    leaves a state diffuse.
    """

    filter: AbstractAlgorithm
    draws: int = eqx.field(static=True)

    def __check_init__(self):
        whole("draws", self.draws, 1)

    def check_run(self, problem, trajectory, key) -> None:
        """A diffuse start is forgotten by the end."""
        check_known(trajectory)

    def backward(self, problem, beliefs, data, *, key):
        """One scan from draws of the last state to the first."""
        last, steps = returns(self.filter, problem, beliefs, data)
        first, second = jax.random.split(needed(key))
        end = stacked(last).sample(self.draws, key=first)
        noise = normals(second, (len(data) - 1, *end.shape), end.dtype)
        factors = jax.vmap(semidefinite_factor)(steps.spread)

        def one(after, each):
            step, factor, own = each
            new = after @ step.matrix.T + step.mean + own @ factor.T
            return new, new

        earlier = jax.lax.scan(one, end, (steps, factors, noise), reverse=True)[1]
        return restacked(beliefs, even(jnp.concatenate([earlier, end[None]]), beliefs.time))
