"""A neuron's answer to a gap, without a solver."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp

from filterlearn.inputs import input_at
from filterlearn.models.base import arrays, value_at
from filterlearn.models.networks import Network, joined
from filterlearn.models.transitions.base import AbstractOneStep
from filterlearn.numerics.small import safe_sqrt


class ClosedForm(AbstractOneStep):
    """x' = s g + (1 - s) h + noise, s = sigmoid(-f gap), f, g and h the values of one network of (x, u), the last two through
    tanh: the closed-form continuous-time cell (Hasani et al. 2022, arXiv:2106.13898, doi:10.1038/s42256-022-00556-7), once
    for each strictly later time, with inputs at that time.

    `noise` `(n,)`, or a function of (t, u), is per square root of time: the variance is noise^2 gap. The mean is within [-1,
    1] and Gaussian over any gap, but two gaps are not one.
    """

    network: Network
    noise: Any
    inputs: int = eqx.field(static=True)

    def __init__(self, states: int, noise, *, inputs: int = 0, width: int = 32, depth: int = 1, key):
        self.network = Network(states + inputs, 3 * states, width=width, depth=depth, key=key)
        self.noise, self.inputs = arrays(noise), inputs

    def moments(self, x, t0, t1, u=None):
        """Mean and factor, or (x, 0) at equal times."""
        gap, u = t1 - t0, input_at(u, t1)
        given = joined(x, u if self.inputs else None)
        speed, first, last = jnp.split(self.network(given), 3)
        share = jax.nn.sigmoid(-speed * gap)
        mean = share * jnp.tanh(first) + (1.0 - share) * jnp.tanh(last)
        return jnp.where(gap > 0, mean, x), jnp.diag(value_at(self.noise, t1, u) * safe_sqrt(gap))
