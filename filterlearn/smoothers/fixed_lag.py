"""Smoothing a fixed number of data back, while the data arrive."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from filterlearn.beliefs.base import AbstractBelief
from filterlearn.beliefs.gaussian import AbstractGaussianBelief
from filterlearn.clock import whole
from filterlearn.numerics.masking import choose, observed
from filterlearn.numerics.small import symmetric
from filterlearn.protocol import AbstractAlgorithm
from filterlearn.smoothers.base import divided, gaussian, sloped, with_moments


class LaggedBelief(AbstractBelief):
    """The belief `now`, and for the states at the last `lag` + 1 data, the newest first, their means, covariances and
    covariances with the state now, all given all the data so far (Moore 1973, doi:10.1016/0005-1098(73)90041-6). Moments
    and draws are those of `now`."""

    now: AbstractBelief
    means: Float[Array, "k n"]
    covariances: Float[Array, "k n n"]
    crosses: Float[Array, "k n n"]
    times: Float[Array, "k"]

    @property
    def time(self) -> Any:
        """Time of the belief now."""
        return self.now.time

    @property
    def mean(self) -> Float[Array, "n"]:
        """Mean now."""
        return self.now.mean

    @property
    def covariance(self) -> Float[Array, "n n"]:
        """Covariance now."""
        return self.now.covariance

    def sample(self, n: int, *, key) -> Float[Array, "k n"]:
        """Draws of the state now."""
        return self.now.sample(n, key=key)

    def quantile(self, q) -> Float[Array, "*q n"]:
        """Quantiles of the state now."""
        return self.now.quantile(q)

    @property
    def lagged(self) -> AbstractBelief:
        """The belief about the state `lag` data ago (at the start, where there are not so many), given all since, of the kind
        of the belief now."""
        back = with_moments(self.now, self.means[-1], self.covariances[-1])
        return eqx.tree_at(lambda b: gaussian(b).time, back, self.times[-1])


class FixedLag(AbstractAlgorithm):
    """The Gaussian filter inside, with the state at each of the last `lag` data corrected by every datum after it (Moore
    1973, doi:10.1016/0005-1098(73)90041-6):

        C' = C A',   m_j <- m_j + J (m - m'),   P_j <- P_j + J (P - P') J',   J = C' P'^-1,   C <- J P

    with primes for the prediction, C the covariance of the state back then and now, and A the derivative of the predicted
    mean. `belief.lagged` is what `RauchTungStriebel` says of that time from the data so far: exact for linear-Gaussian
    models, biased like the filter otherwise. A datum costs `lag` n x n products. With `Joint(filter)` parameters are smoothed
    too. Raises TypeError for a filter whose beliefs are not Gaussian.
    """

    filter: AbstractAlgorithm
    lag: int = eqx.field(static=True)

    def __check_init__(self):
        whole("lag", self.lag, 1)

    def init(self, problem, *, key=None):
        """The filter's start, for all the times before the first datum too."""
        now = self.filter.init(problem, key=key)
        if not isinstance(gaussian(now), AbstractGaussianBelief):
            name = type(gaussian(now)).__name__
            raise TypeError(f"filter: one with Gaussian beliefs is needed, got {name}; use BackwardSampling for particles")
        row = (gaussian(now).mean, *(gaussian(now).covariance,) * 2, now.time)
        means, covariances, crosses, times = (jnp.stack([leaf] * (self.lag + 1)) for leaf in row)
        return LaggedBelief(now=now, means=means, covariances=covariances, crosses=crosses, times=times)

    def predict(self, problem, belief, time, inputs=None, *, key=None):
        """The prediction of the filter; what was covaries with it through A."""
        matrix, now = sloped(self.filter, problem, belief.now, time, inputs)
        return LaggedBelief(now, belief.means, belief.covariances, belief.crosses @ matrix.T, belief.times)

    def update(self, problem, belief, datum, *, key=None):
        """The filter's update, handed back to the states before; then a place further back for each of them."""
        now, info = self.filter.update(problem, belief.now, datum, key=key)
        old, new = gaussian(belief.now), gaussian(now)
        shift, change = new.mean - old.mean, new.covariance - old.covariance

        def revised(mean, covariance, cross):
            gain = divided(old.covariance, cross.T).T
            return mean + gain @ shift, symmetric(covariance + gain @ change @ gain.T), gain @ new.covariance

        past = (*jax.vmap(revised)(belief.means, belief.covariances, belief.crosses), belief.times)
        first = (new.mean, new.covariance, new.covariance, now.time)
        moved = tuple(jnp.concatenate([a[None], b[:-1]]) for a, b in zip(first, past, strict=True))
        told = observed(datum.value).any() | (now.time > belief.times[0])
        kept = (belief.means, belief.covariances, belief.crosses, belief.times)
        return LaggedBelief(now, *choose(told, moved, kept)), info
