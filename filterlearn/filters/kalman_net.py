"""A filter whose gain is a network."""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from filterlearn.beliefs.gaussian import AbstractGaussianBelief
from filterlearn.beliefs.recurrent import Recurrent
from filterlearn.clock import whole
from filterlearn.filters.base import gaussian_info
from filterlearn.numerics.masking import choose, filled, masked_covariance, observed
from filterlearn.numerics.small import cholesky, lower_solve, symmetric
from filterlearn.protocol import AbstractAlgorithm, strong

_CERTAIN = 1 - 1e-6  # no datum is trusted wholly


class Remembered(NamedTuple):
    """The network's own memory; of the last datum y, the means before and after it, its time; the mean an update earlier."""

    network: Any
    seen: Float[Array, "m"]
    before: Float[Array, "n"]
    after: Float[Array, "n"]
    earlier: Float[Array, "n"]
    time: Float[Array, ""]


class GainNetwork(eqx.Module):
    """(memory, features) to (memory, gain `(states, sensors)`): a gated recurrent unit of `width` entries (Cho et al. 2014,
    arXiv:1406.1078) and a linear map."""

    cell: eqx.nn.GRUCell
    last: eqx.nn.Linear
    states: int = eqx.field(static=True)
    sensors: int = eqx.field(static=True)

    def __init__(self, states: int, sensors: int, *, width: int = 32, key):
        first, second = jax.random.split(key)
        self.states, self.sensors = whole("states", states, 1), whole("sensors", sensors, 1)
        self.cell = eqx.nn.GRUCell(2 * (states + sensors) + 1, whole("width", width, 1), key=first)
        self.last = eqx.nn.Linear(width, states * sensors, key=second)

    def start(self) -> Float[Array, "width"]:
        """An empty memory."""
        return jnp.zeros(self.cell.hidden_size, self.last.weight.dtype)

    def __call__(self, memory: Float[Array, "width"], features: Float[Array, "k"]):
        memory = self.cell(features, memory)
        return memory, self.last(memory).reshape(self.states, self.sensors)


class KalmanNet(AbstractAlgorithm):
    """`filter` predicts, and a recurrent network gives the gain K of the correction m + K (y - h(m)), with a
    covariance (Revach et al. 2022, arXiv:2107.10043).

    `network(memory, features)` gives (memory, K `(n, m)`), with `start()`, `states` and `sensors`: `GainNetwork` is one. The
    features are y less the datum before, y - h(m), the last change of the corrected mean and the last correction, each v
    as v / sqrt(1 + v'v), and log(1 + gap): bring the data to a scale of about 1.

    What K says of the covariance (Klein et al. 2022, arXiv:2110.04738): an optimal one is P H'S^-1 with S = H P H' + R, so
    that H P H' = H K (I - H K)^-1 R, and P follows where there are as many sensors as states, H of full column rank, and R
    is nonsingular. H K is made symmetric in the units of R, its eigenvalues held in [0, 1); no derivative goes through.
    With fewer sensors give `head`, from the memory to n^2 numbers, a factor of P, and train it on the evidence. After
    the datum P is (I - K H) P (I - K H)' + K R K', the evidence that of N(h(m), S).

    As good as its training: neither exact nor consistent, and a prediction has the model's covariance until the next datum.
    `filter` has Gaussian beliefs, such as `ExtendedKalman`. Train it, `train(StateError(problem), KalmanNet(...), data)`.
    Raises TypeError for another filter, and for fewer sensors than states without a head.
    """

    filter: AbstractAlgorithm
    network: Any
    head: Any = None

    def __check_init__(self):
        if not isinstance(self.filter, AbstractAlgorithm):
            raise TypeError(f"filter: a Gaussian filter is needed, got {type(self.filter).__name__}")
        if self.head is None and self.network.sensors < self.network.states:
            sizes = f"{self.network.sensors} sensors of {self.network.states} states"
            raise TypeError(f"head: {sizes} do not tell the covariance; give head, from the memory to a factor of it")

    def init(self, problem, *, key=None):
        """The filter's start, and an empty memory."""
        now = self.filter.init(problem, key=key)
        if not isinstance(now, AbstractGaussianBelief):
            raise TypeError(f"filter: one with Gaussian beliefs is needed, got {type(now).__name__}")
        seen = jnp.zeros(self.network.sensors, now.mean.dtype)
        return strong(Recurrent(now, Remembered(self.network.start(), seen, now.mean, now.mean, now.mean, now.time)))

    def predict(self, problem, belief, time, inputs=None, *, key=None):
        """That of the filter inside."""
        return Recurrent(self.filter.predict(problem, belief.now, time, inputs, key=key), belief.memory)

    def update(self, problem, belief, datum, *, key=None):
        """The network's correction."""
        observation, m, mask, past = problem.resolve().observation, belief.now.mean, observed(datum.value), belief.memory

        def law(x):
            mean, r = observation.moments(x, datum.time, datum.inputs)
            return mean, (mean, r)

        h, (mean, r) = jax.jacfwd(law, has_aux=True)(m)
        error = jnp.where(mask, observation.innovation(filled(datum.value, mean), mean), 0.0)
        memory, gain = self.network(past.network, _features(past, datum, error))
        before = _from_gain(h, r, jax.lax.stop_gradient(gain)) if self.head is None else _squared(self.head(memory), m)
        s = symmetric(h @ before @ h.T + r)
        info = gaussian_info(error, cholesky(masked_covariance(s, mask)), jnp.diagonal(s), mask, mean)
        gain = jnp.where(mask, gain, 0.0)
        left, after = jnp.eye(len(m), dtype=m.dtype) - gain @ h, m + gain @ error
        now = belief.now.with_moments(after, symmetric(left @ before @ left.T + gain @ r @ gain.T))
        kept = Remembered(memory, filled(datum.value, past.seen), m, after, past.after, datum.time)
        return choose(mask.any(), Recurrent(now, kept), belief), info


def _features(past, datum, error):
    """The differences between the last data, each bounded, and the gap."""
    parts = (filled(datum.value, past.seen) - past.seen, error, past.after - past.earlier, past.after - past.before)
    gap = jnp.where(jnp.isinf(past.time), 0.0, datum.time - past.time)
    return jnp.concatenate([*(v / jnp.sqrt(1 + v @ v) for v in parts), jnp.log1p(gap)[None]])


def _from_gain(h, r, gain):
    """The predicted covariance that makes a gain optimal, or the nearest that is one."""
    root = cholesky(r)
    values, vectors = jnp.linalg.eigh(symmetric(lower_solve(root, h @ gain @ root)))
    values = jnp.clip(values, 0.0, _CERTAIN)
    back = jnp.linalg.solve(h.T @ h, h.T) @ root @ (vectors * jnp.sqrt(values / (1 - values)))
    return back @ back.T


def _squared(factor, mean):
    factor = factor.reshape(len(mean), len(mean))
    return factor @ factor.T
