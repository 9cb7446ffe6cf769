"""A drift that is linear in features of the state."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from filterlearn.models.drifts.base import AbstractDrift, driven
from filterlearn.models.networks import Network


class KoopmanDrift(AbstractDrift):
    """f = K z + B u of the lifted state z = (x, N(x)), K = S - S' - R R' with entries of S and R divided by sqrt(n) (Lusch,
    Kutz & Brunton 2018, doi:10.1038/s41467-018-07210-0).

    The state of the model is z, of n = states + features entries, of which the first are x; `lift(x)` starts it. It is linear
    in z: `LinearSDE(drift.matrix, noise)` is exact under `Kalman`. |z| never grows without inputs and noise, so that K has no
    eigenvalue with a positive real part. That z stays (x, N(x)) is for training to see to.
    """

    turn: Array
    loss: Array
    features: Network
    drive: Array | None

    def __init__(self, states: int, features: int, *, inputs: int = 0, width: int = 32, depth: int = 1, key):
        first, second, third, fourth = jax.random.split(key, 4)
        shape = (states + features,) * 2
        self.turn, self.loss = jax.random.normal(first, shape), jax.random.normal(second, shape)
        self.features = Network(states, features, width=width, depth=depth, key=third)
        self.drive = jax.random.normal(fourth, (states + features, inputs)) if inputs else None

    @property
    def matrix(self) -> Float[Array, "n n"]:
        """K."""
        n = self.turn.shape[0]
        return (self.turn - self.turn.T) / n**0.5 - self.loss @ self.loss.T / n

    def lift(self, x: Float[Array, "k"]) -> Float[Array, "n"]:
        """(x, N(x))."""
        return jnp.concatenate([x, self.features(x)])

    def __call__(self, t, x, u):
        return self.matrix @ x + driven(self.drive, u)
