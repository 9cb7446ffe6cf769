"""State and parameters filtered as one vector."""

import math

import equinox as eqx
import jax
import jax.numpy as jnp

from filterlearn.beliefs.joint import JointBelief
from filterlearn.filters.kalman import Kalman
from filterlearn.learners.base import AbstractLearner, check_family, forgotten, released
from filterlearn.models.base import (
    AbstractGaussianObservation,
    AbstractGaussianTransition,
    AbstractObservation,
    AbstractTransition,
    Initial,
    StateSpaceModel,
    starting_gaussian,
    starting_sample,
)
from filterlearn.models.family import ModelFamily
from filterlearn.models.observations.base import AbstractMaskedGaussian
from filterlearn.numerics.small import as_matrix
from filterlearn.protocol import AbstractAlgorithm


class _Parts:
    """How a stacked vector (x, theta) is taken apart."""

    family: ModelFamily

    def model(self, z):
        return self.family(z[-self.family.size :]).resolve()

    def state(self, z):
        return z[: -self.family.size]


class _Moved(_Parts, AbstractTransition):
    """Any transition with the parameters' own motion beside it."""

    family: ModelFamily

    def noise_shape(self, x, u=None):
        inner = self.model(x).transition.noise_shape(self.state(x), u)
        return (math.prod(inner) + self.family.size + self.family.chances,)

    def draw_noise(self, n, x, u=None, *, key):
        first, second = jax.random.split(key)
        inner = self.model(x).transition.draw_noise(n, self.state(x), u, key=first)
        return inner, jax.random.normal(second, (n, self.family.size + self.family.chances), x.dtype)

    def push(self, x, t0, t1, u, noise):
        inner, own = noise
        moved = self.model(x).transition.push(self.state(x), t0, t1, u, inner)
        return jnp.concatenate([moved, self.family.moved(x[-self.family.size :], t1 - t0, own)])


class _GaussianMoved(_Parts, AbstractGaussianTransition):
    """A Gaussian transition with the parameters' own motion beside it."""

    family: ModelFamily
    substeps: int = eqx.field(static=True)
    draw_noise = _Moved.draw_noise
    push = _Moved.push
    noise_shape = _Moved.noise_shape

    @property
    def gaussian(self) -> bool:
        """In one substep of parameters whose motion is: over several, these move in each, but `push` moves them once."""
        return (
            self.substeps == 1 and not self.family.chances and self.family(self.family.median).resolve().transition.gaussian
        )

    def moments(self, x, t0, t1, u=None):
        mean, factor = self.model(x).transition.moments(self.state(x), t0, t1, u)
        centre, own = self.family.motion(x[-self.family.size :], t1 - t0)
        return jnp.concatenate([mean, centre]), jax.scipy.linalg.block_diag(factor, as_matrix(own))


class _Seen(_Parts, AbstractObservation):
    """The observation of the state inside a stacked vector."""

    family: ModelFamily

    def log_prob(self, y, x, t, u=None):
        return self.model(x).observation.log_prob(y, self.state(x), t, u)

    def sample(self, x, t, u=None, *, key):
        return self.model(x).observation.sample(self.state(x), t, u, key=key)

    def predicted(self, x, t, u=None):
        return self.model(x).observation.predicted(self.state(x), t, u)

    def cdf(self, y, x, t, u=None):
        return self.model(x).observation.cdf(y, self.state(x), t, u)


class _GaussianSeen(_Parts, AbstractMaskedGaussian):
    """A Gaussian observation of the state inside a stacked vector; its difference is that of the model at the prior's
    median."""

    family: ModelFamily

    def moments(self, x, t, u=None):
        return self.model(x).observation.moments(self.state(x), t, u)

    def innovation(self, y, mean):
        return self.family(self.family.median).resolve().observation.innovation(y, mean)


class _Start(eqx.Module):
    """Parameters from their prior, the state from the model that they make; the moments to first order."""

    family: ModelFamily

    def _state(self, theta):
        return starting_gaussian(self.family(theta).resolve().initial)

    def sample(self, key, shape):
        """Draws of (x, theta)."""
        first, second = jax.random.split(key)
        thetas = self.family.start.sample(*shape, key=first)

        def one(theta, k):
            return starting_sample(self.family(theta).resolve().initial, 1, k)[0][0]

        return jnp.concatenate([jax.vmap(one)(thetas, jax.random.split(second, *shape)), thetas], axis=1)

    @property
    def mean(self):
        """Means where learners start."""
        centre = self.family.start.mean
        return jnp.concatenate([self._state(centre).mean, centre])

    @property
    def covariance_matrix(self):
        """Cross-covariance through the slope of the initial mean."""
        centre, spread = self.family.start.mean, self.family.start.covariance
        slope = jax.jacfwd(lambda theta: self._state(theta).mean)(centre)
        cross = slope @ spread
        state = self._state(centre).covariance + cross @ slope.T
        return jnp.block([[state, cross], [cross.T, spread]])


def stacked(family) -> StateSpaceModel:
    """The state-space model of (x, theta)."""
    check_family(family)
    model = family(family.median).resolve()
    gaussian = isinstance(model.transition, AbstractGaussianTransition)
    transition = _GaussianMoved(family=family, substeps=model.transition.substeps) if gaussian else _Moved(family)
    seen = _GaussianSeen(family) if isinstance(model.observation, AbstractGaussianObservation) else _Seen(family)
    return StateSpaceModel(Initial(_Start(family), model.initial.time), transition, seen)


class Joint(AbstractLearner):
    """The filter inside, on the state and the parameters as one vector; the parameters move by their own laws.

    Extended: linearised, biased, and may diverge (Ljung 1979, doi:10.1109/TAC.1979.1101943). Ensemble: Gaussian update.
    Particle: consistent for moving parameters; static ones degenerate with time, give them a motion or use `Nested`. `Kalman`
    is refused: the stacked model is not linear.
    """

    filter: AbstractAlgorithm

    def __check_init__(self):
        if isinstance(self.filter, Kalman) or not isinstance(self.filter, AbstractAlgorithm):
            name = type(self.filter).__name__
            raise TypeError(f"filter: ExtendedKalman, SigmaPoint, EnsembleKalman or ParticleFilter is needed, got {name}")

    def _wrap(self, problem, belief):
        return JointBelief(belief, belief.mean.shape[0] - problem.size)

    def init(self, problem, *, key=None):
        """Prior parameters and the state that they start from."""
        return self._wrap(problem, self.filter.init(stacked(problem), key=key))

    def step(self, problem, belief, datum, *, keys):
        """What is to be forgotten forgotten, then the step of the filter inside."""
        before = forgotten(problem, belief.stacked, datum.time, key=keys[0])
        new, info = self.filter.step(stacked(problem), before, datum, keys=keys)
        return self._wrap(problem, new), info

    def predict(self, problem, belief, time, inputs=None, *, key=None):
        """What is to be forgotten forgotten, then both moved."""
        before = forgotten(problem, belief.stacked, time, key=key)
        return self._wrap(problem, self.filter.predict(stacked(problem), before, time, inputs, key=key))

    def update(self, problem, belief, datum, *, key=None):
        """Both corrected."""
        new, info = self.filter.update(stacked(problem), belief.stacked, datum, key=key)
        return self._wrap(problem, new), info

    def widened(self, problem, belief, kept, *, key=None):
        """The state keeps its law given the parameters."""
        return self._wrap(problem, released(problem, belief.stacked, kept, key=key))
