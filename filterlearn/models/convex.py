"""Convex networks, and the Lyapunov functions that they make."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from filterlearn.clock import whole
from filterlearn.models.networks import Network


class ConvexNetwork(eqx.Module):
    """A convex function of x `(n,)` (Amos, Xu & Kolter 2017, arXiv:1609.07152): z_0 = s(A_0 x + b_0), z_k+1 = s(P_k z_k +
    A_k x + b_k), and the mean of the last z; s is softplus, and the entries of P_k, softplus of its leaves, are positive
    and divided by their number in a row."""

    skips: tuple[Network, ...]
    weights: tuple[Array, ...]

    def __init__(self, inputs: int, *, width: int = 32, depth: int = 1, key):
        keys = jax.random.split(key, 2 * whole("depth", depth, 1))
        self.skips = tuple(Network(inputs, width, depth=0, key=k) for k in keys[:depth])
        self.weights = tuple(jax.random.normal(k, (width, width)) for k in keys[depth + 1 :])

    def __call__(self, x: Float[Array, "n"]) -> Float[Array, ""]:
        z = jax.nn.softplus(self.skips[0](x))
        for skip, weight in zip(self.skips[1:], self.weights, strict=True):
            z = jax.nn.softplus(jax.nn.softplus(weight) @ z / weight.shape[1] + skip(x))
        return jnp.mean(z)


class LyapunovFunction(eqx.Module):
    """V(x) = C(x) - C(c) - grad C(c) . (x - c) + floor |x - c|^2 with a `ConvexNetwork` C: 0 at the centre c `(n,)`, at least
    floor |x - c|^2 elsewhere, convex, smooth, and without a resting point but c, like the function of Kolter & Manek 2019
    (arXiv:2001.06116), but any quadratic form next to c: a divergence of Bregman 1967 (doi:10.1016/0041-5553(67)90040-7)."""

    network: ConvexNetwork
    centre: Array
    floor: Any

    def __init__(self, states: int, *, width: int = 32, depth: int = 1, floor=0.01, key):
        self.network = ConvexNetwork(states, width=width, depth=depth, key=key)
        self.centre, self.floor = jnp.zeros(states), floor

    def __call__(self, x: Float[Array, "n"]) -> Float[Array, ""]:
        away = x - self.centre
        level, slope = jax.value_and_grad(self.network)(self.centre)
        return self.network(x) - level - slope @ away + self.floor * (away @ away)


def projected(rates, slope, excess):
    """The rates with as much taken from them along -slope as lowers slope . rates by the excess, where it is positive."""
    square = slope @ slope
    return rates - slope * jax.nn.relu(excess) / jnp.where(square > 0, square, 1.0)
