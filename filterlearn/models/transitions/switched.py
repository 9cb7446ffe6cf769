"""Regimes, each with a transition of its own."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from filterlearn.beliefs.base import start_time
from filterlearn.beliefs.gaussian import Gaussian
from filterlearn.models.base import AbstractFinite, AbstractTransition, Initial, StateSpaceModel, arrays
from filterlearn.models.observations.switched import SwitchedObservation
from filterlearn.numerics.sampling import normals
from filterlearn.numerics.small import semidefinite_factor


class Switched(AbstractTransition):
    """The state is (x, r), with r one of K regimes numbered from 0: r moves by `chain`, then x by `transitions[r]` with the
    new r, which holds over the whole gap (Kim 1994, doi:10.1016/0304-4076(94)90036-1). The transitions read x alone."""

    chain: AbstractFinite
    transitions: tuple

    def __init__(self, chain, transitions):
        self.chain, self.transitions = chain, tuple(transitions)
        if not isinstance(chain, AbstractFinite):
            raise TypeError(f"chain: MarkovChain or MarkovProcess is needed, got {type(chain).__name__}")
        for each in self.transitions:
            if not isinstance(each, AbstractTransition):
                raise TypeError(f"transitions: a transition for each regime is needed, got {type(each).__name__}")

    def noise_shape(self, x, u=None):
        """One normal, for the regime; `draw_noise` adds the noise of each transition."""
        return (1,)

    def draw_noise(self, n, x, u=None, *, key):
        """That of the chain, and that of each transition."""
        keys = jax.random.split(key, 1 + len(self.transitions))
        own = [each.draw_noise(n, x[:-1], u, key=k) for each, k in zip(self.transitions, keys[1:], strict=True)]
        return normals(keys[0], (n, 1), x.dtype), own

    def push(self, x, t0, t1, u, noise):
        """The regime, then the state of every regime, of which the new one is taken."""
        first, own = noise
        regime = self.chain.push(x[-1:], t0, t1, u, first)
        moved = [each.push(x[:-1], t0, t1, u, e) for each, e in zip(self.transitions, own, strict=True)]
        return jnp.concatenate([jnp.stack(moved)[regime[0].astype(int)], regime])


class RegimeStart(eqx.Module):
    """The law of (x, r): x ~ N(mean, covariance) and, independently, regime r with `probabilities` `(K,)`; for `Initial`
    (Kim 1994, doi:10.1016/0304-4076(94)90036-1)."""

    mean_x: Float[Array, "n"]
    covariance_x: Float[Array, "n n"]
    probabilities: Float[Array, "K"]

    def __init__(self, mean: Any, covariance: Any, probabilities: Any):
        self.mean_x, self.covariance_x, self.probabilities = map(arrays, (mean, covariance, probabilities))

    def sample(self, key, shape):
        """Draws `(*shape, n + 1)`."""
        first, second = jax.random.split(key)
        noise = normals(first, (*shape, len(self.mean_x)), self.mean_x.dtype)
        regimes = jax.random.categorical(second, jnp.log(self.probabilities), shape=shape)
        return jnp.concatenate([self.mean_x + noise @ semidefinite_factor(self.covariance_x).T, regimes[..., None]], axis=-1)

    @property
    def mean(self):
        """Of (x, r)."""
        return jnp.append(self.mean_x, self.probabilities @ jnp.arange(len(self.probabilities)))

    @property
    def covariance_matrix(self):
        """Of (x, r)."""
        places = jnp.arange(len(self.probabilities)) - self.mean[-1]
        return jax.scipy.linalg.block_diag(self.covariance_x, self.probabilities @ places**2)


def by_regime(model, name: str) -> tuple[list[StateSpaceModel], Any]:
    """(the model of x in each regime, the probabilities of the first); TypeError or ValueError, in the name of a filter,
    for a model that has no regimes or not the same in each of its parts."""
    if not isinstance(model.transition, Switched):
        raise TypeError(f"transition: {name} needs Switched, got {type(model.transition).__name__}; use its filter")
    if not isinstance(model.observation, SwitchedObservation):
        raise TypeError(f"observation: {name} needs SwitchedObservation, got {type(model.observation).__name__}")
    law = model.initial.distribution if isinstance(model.initial, Initial) else None
    if not isinstance(law, RegimeStart):
        raise TypeError(f"initial: {name} needs Initial(RegimeStart(mean, covariance, probabilities), time)")
    size = len(model.transition.transitions)
    for part, count in (("initial", len(law.probabilities)), ("observation", len(model.observation.observations))):
        if count != size and (part, count) != ("observation", 1):
            raise ValueError(f"{part}: {size} regimes are needed, one for each transition, got {count}")
    start = Gaussian.of(law.mean_x, law.covariance_x, start_time(model.initial.time, law.mean_x.dtype))
    parts = enumerate(model.transition.transitions)
    return [StateSpaceModel(start, transition, model.observation.of(j)) for j, transition in parts], law.probabilities
