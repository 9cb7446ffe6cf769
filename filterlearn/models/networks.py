"""Networks whose prior does not depend on their width."""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from filterlearn.clock import whole


class Network(eqx.Module):
    """x to W_d z_d / sqrt(n_d) + b_d, where z_0 = x, z_k+1 = activation(W_k z_k / sqrt(n_k) + b_k), n_k entries in z_k: a
    perceptron of `depth` hidden layers of `width` units in the scaling of Jacot, Gabriel & Hongler 2018 (arXiv:1806.07572).

    Weights and inner biases are standard normals, the last bias is 0. One prior sd for all weights, as
    `ModelFamily.from_module` gives, then means the same at any width (Neal 1996, doi:10.1007/978-1-4612-0745-0).
    """

    weights: tuple[Array, ...]
    biases: tuple[Array, ...]
    activation: Callable = eqx.field(static=True)

    def __init__(self, inputs: int, outputs: int, *, width: int = 32, depth: int = 1, activation: Callable = jnp.tanh, key):
        sizes = (
            whole("inputs", inputs, 1),
            *[whole("width", width, 1)] * whole("depth", depth, 0),
            whole("outputs", outputs, 1),
        )
        pairs, keys = list(zip(sizes[1:], sizes, strict=False)), jax.random.split(key, 2 * depth + 1)
        self.weights = tuple(jax.random.normal(k, pair) for k, pair in zip(keys, pairs, strict=False))
        inner = zip(keys[depth + 1 :], pairs, strict=False)
        self.biases = (*(jax.random.normal(k, pair[:1]) for k, pair in inner), jnp.zeros(outputs))
        self.activation = activation

    def __call__(self, x: Float[Array, "k"]) -> Float[Array, "m"]:
        *hidden, last = zip(self.weights, self.biases, strict=True)
        for weight, bias in hidden:
            x = self.activation(_affine(weight, bias, x))
        return _affine(*last, x)


def joined(x, u):
    """The state and the inputs, None where there are none, as one vector."""
    return x if u is None else jnp.concatenate([x, jnp.ravel(u).astype(x.dtype)])


def _affine(weight, bias, x):
    return weight @ x / weight.shape[1] ** 0.5 + bias
