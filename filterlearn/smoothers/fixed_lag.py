"""Smoothing a fixed number of data back, while the data arrive."""

import abc

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from filterlearn.beliefs.base import AbstractBelief, AbstractHistory
from filterlearn.beliefs.ensemble import Ensemble
from filterlearn.beliefs.gaussian import AbstractGaussianBelief
from filterlearn.beliefs.particles import Particles
from filterlearn.clock import whole
from filterlearn.numerics.masking import choose, observed
from filterlearn.numerics.small import semidefinite_solve, symmetric
from filterlearn.protocol import AbstractAlgorithm
from filterlearn.resamplers.base import check_copies
from filterlearn.smoothers.base import followed, restacked, sloped, stacked, with_moments


class AbstractPast(eqx.Module):
    """What is kept of the states at the last data, the newest first, and how it is revised with the belief now."""

    @abc.abstractmethod
    def predict(self, filter, problem, now, time, inputs, *, key):
        """(past, belief) after the filter's prediction."""

    @abc.abstractmethod
    def update(self, filter, problem, now, datum, *, key):
        """(past, belief, Info) after the filter's update."""

    def step(self, filter, problem, now, datum, *, keys):
        """Both."""
        past, ahead = self.predict(filter, problem, now, datum.time, datum.inputs, key=keys[0])
        return past.update(filter, problem, ahead, datum, key=keys[1])

    @abc.abstractmethod
    def entered(self, now):
        """The state now is the newest; the oldest is let go."""

    @abc.abstractmethod
    def oldest(self, now):
        """The belief about the oldest, of the kind of the belief now."""


class _Moments(AbstractPast):
    """Means, covariances, and covariances with the state now."""

    means: Float[Array, "k n"]
    covariances: Float[Array, "k n n"]
    crosses: Float[Array, "k n n"]

    @classmethod
    def of(cls, filter, belief, length):
        return cls(*(_repeated(leaf, length) for leaf in (belief.mean, belief.covariance, belief.covariance)))

    def predict(self, filter, problem, now, time, inputs, *, key):
        matrix, ahead = sloped(filter, problem, now, time, inputs)
        return _Moments(self.means, self.covariances, self.crosses @ matrix.T), ahead

    def update(self, filter, problem, now, datum, *, key):
        after, info = filter.update(problem, now, datum, key=key)
        old, new = stacked(now), stacked(after)
        shift, change = new.mean - old.mean, new.covariance - old.covariance

        def revised(mean, covariance, cross):
            gain = semidefinite_solve(old.covariance, cross.T).T
            return mean + gain @ shift, symmetric(covariance + gain @ change @ gain.T), gain @ new.covariance

        return _Moments(*jax.vmap(revised)(self.means, self.covariances, self.crosses)), after, info

    def entered(self, now):
        first = (stacked(now).mean, stacked(now).covariance, stacked(now).covariance)
        return _Moments(*map(_pushed, first, (self.means, self.covariances, self.crosses)))

    def oldest(self, now):
        return with_moments(now, self.means[-1], self.covariances[-1])


class _Members(AbstractPast):
    """Ensembles, revised member by member."""

    members: Float[Array, "k N n"]

    @classmethod
    def of(cls, filter, belief, length):
        return cls(_repeated(belief.members, length))

    def predict(self, filter, problem, now, time, inputs, *, key):
        return self, filter.predict(problem, now, time, inputs, key=key)

    def update(self, filter, problem, now, datum, *, key):
        return self._revised(stacked(now).members, filter.update(problem, now, datum, key=key))

    def step(self, filter, problem, now, datum, *, keys):
        """The filter's own, which may look before the gap; its prediction is made beside it."""
        ahead = filter.predict(problem, now, datum.time, datum.inputs, key=keys[0])
        return self._revised(stacked(ahead).members, filter.step(problem, now, datum, keys=keys))

    def _revised(self, ahead, answer):
        after, info = answer
        change = stacked(after).members - ahead
        return _Members(jax.vmap(lambda past: past + followed(change, ahead, past))(self.members)), after, info

    def entered(self, now):
        return _Members(_pushed(stacked(now).members, self.members))

    def oldest(self, now):
        return restacked(now, eqx.tree_at(lambda b: b.members, stacked(now), self.members[-1]))


class _Points(AbstractPast):
    """For each particle the points on its path, copied with it."""

    points: Float[Array, "N k n"]

    @classmethod
    def of(cls, filter, belief, length):
        past = cls(jnp.swapaxes(_repeated(belief.points, length), 0, 1))
        if belief.lineage is not None:
            raise TypeError("filter: FixedLag keeps paths in the place of a lineage; give the filter inside Genealogy")
        check_copies("FixedLag", filter, belief)
        return past

    def predict(self, filter, problem, now, time, inputs, *, key):
        return self, filter.predict(problem, now, time, inputs, key=key)

    def update(self, filter, problem, now, datum, *, key):
        return _parted(*filter.update(problem, _beside(now, self), datum, key=key))

    def step(self, filter, problem, now, datum, *, keys):
        return _parted(*filter.step(problem, _beside(now, self), datum, keys=keys))

    def entered(self, now):
        return _Points(jax.vmap(_pushed)(stacked(now).points, self.points))

    def oldest(self, now):
        return restacked(now, eqx.tree_at(lambda b: b.points, stacked(now), self.points[:, -1]))


def _repeated(leaf, length):
    return jnp.broadcast_to(leaf, (length, *leaf.shape))


def _pushed(new, row):
    return jnp.concatenate([new[None], row[:-1]])


def _beside(now, past):
    return restacked(now, stacked(now).carrying(past))


def _parted(after, info):
    past = stacked(after).lineage
    return past, _beside(after, None), info


_KINDS = ((AbstractGaussianBelief, _Moments), (Ensemble, _Members), (Particles, _Points))


class LaggedBelief(AbstractHistory):
    """The belief `now`, and what is known of the states at the last `lag` + 1 data, at `times`, given all the data so far
    (Moore 1973, doi:10.1016/0005-1098(73)90041-6). Moments and draws are those of `now`."""

    now: AbstractBelief
    past: AbstractPast
    times: Float[Array, "k"]

    @property
    def lagged(self) -> AbstractBelief:
        """The belief about the state `lag` data ago (at the start, where there are not so many), given all since, of the kind
        of the belief now."""
        return eqx.tree_at(lambda b: stacked(b).time, self.past.oldest(self.now), self.times[-1])


class FixedLag(AbstractAlgorithm):
    """The filter inside, with the state at each of the last `lag` data revised by every datum after it: `belief.lagged` is
    the belief about the oldest given all the data so far. All else is the filter's own.

    Gaussian beliefs, by their covariances with the present (Moore 1973, doi:10.1016/0005-1098(73)90041-6):

        C' = C A',   m_j <- m_j + J (m - m'),   P_j <- P_j + J (P - P') J',   J = C' P'^-1,   C <- J P

    with primes for the prediction, C the covariance of the state back then and now, and A the derivative of the predicted
    mean. What `RauchTungStriebel` says of that time from the data so far: exact for linear-Gaussian models, biased like the
    filter otherwise. A datum costs `lag` n x n products.

    Ensembles, each member by the least squares slope of what it was on what it is, the ensemble Kalman smoother (Evensen &
    van Leeuwen 2000, doi:10.1175/1520-0493(2000)128<1852:AEKSFN>2.0.CO;2): consistent for linear-Gaussian models as N
    grows. Each gap is simulated once more.

    Particles, by the points on their own paths (Kitagawa 1996, doi:10.2307/1390750): consistent as N grows, for any model.
    Resampling leaves few paths far back, so that the error grows with the lag, like that of as many points as there are
    paths. The resampler must copy points.

    With `Joint(filter)` parameters are smoothed too. Raises TypeError for other beliefs.
    """

    filter: AbstractAlgorithm
    lag: int = eqx.field(static=True)

    def __check_init__(self):
        whole("lag", self.lag, 1)

    def init(self, problem, *, key=None):
        """The filter's start, for all the times before the first datum too."""
        now = self.filter.init(problem, key=key)
        for kind, past in _KINDS:
            if isinstance(stacked(now), kind):
                length = self.lag + 1
                return LaggedBelief(now, past.of(self.filter, stacked(now), length), _repeated(now.time, length))
        name = type(stacked(now)).__name__
        raise TypeError(f"filter: one with Gaussian beliefs, ensembles or particles is needed, got {name}")

    def predict(self, problem, belief, time, inputs=None, *, key=None):
        """The prediction of the filter."""
        past, now = belief.past.predict(self.filter, problem, belief.now, time, inputs, key=key)
        return LaggedBelief(now, past, belief.times)

    def update(self, problem, belief, datum, *, key=None):
        """The filter's update, handed back to the states before; then a place further back for each of them."""
        return _moved(belief, datum, *belief.past.update(self.filter, problem, belief.now, datum, key=key))

    def step(self, problem, belief, datum, *, keys):
        """Both, by the filter's own step."""
        return _moved(belief, datum, *belief.past.step(self.filter, problem, belief.now, datum, keys=keys))


def _moved(belief, datum, past, now, info):
    """(belief, Info), all a place further back where there is a new time or something is told."""
    told = observed(datum.value).any() | (now.time > belief.times[0])
    further = (past.entered(now), _pushed(now.time, belief.times))
    return LaggedBelief(now, *choose(told, further, (belief.past, belief.times))), info
