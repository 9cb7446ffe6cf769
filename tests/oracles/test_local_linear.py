"""The local linearisation against linear SDEs and the Benes SDE, whose laws are known."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.interpolate import CubicSpline

import filterlearn as fl
from tests.cases import MATRIX, NOISE

X = jnp.array([0.7, -0.4])
OFFSET, SLOPE = jnp.array([0.1, -0.2]), jnp.array([0.5, 0.3])
STIFF = jnp.array([[-1.0, 0.0], [999.0, -1000.0]])


@pytest.mark.parametrize("matrix", [MATRIX, STIFF], ids=["plain", "stiff"])
def test_a_linear_sde_is_exact_in_one_step(matrix):
    """The drift's own dependence on time too: against the exact law with a clock among its states, to 1e-10."""
    local = fl.LocalLinear(fl.SDE(lambda t, x, u: matrix @ x + OFFSET + SLOPE * t, NOISE), steps=1)
    clock = jnp.zeros((3, 3)).at[:2, :2].set(matrix).at[:2, 2].set(SLOPE)
    exact = fl.LinearSDE(clock, jnp.zeros((3, 2)).at[:2].set(NOISE), jnp.append(OFFSET, 1.0))
    a, b, q = exact.discretise(0.5, 1.4)
    mean, factor = local.moments(X, jnp.asarray(0.5), jnp.asarray(1.4))
    np.testing.assert_allclose(mean, (a @ jnp.append(X, 0.5) + b)[:2], atol=1e-10)
    np.testing.assert_allclose(factor @ factor.T, q[:2, :2], atol=1e-10)
    noise = jax.jacfwd(lambda z: local.push(X, 0.5, 1.4, None, z))(jnp.zeros((1, 4)))[:, 0]
    np.testing.assert_allclose(noise @ noise.T, q[:2, :2], atol=1e-10)


def test_the_brownian_increments_are_those_that_drive_it():
    """(x, W) has the exact joint law when W is summed beside x."""
    local = fl.LocalLinear(fl.SDE(lambda t, x, u: MATRIX @ x, NOISE), steps=1)
    both = fl.SinceLast(local, lambda t, x, u: 0 * x, lambda t, x, u: jnp.eye(2), size=2)
    wide = jnp.zeros((4, 4)).at[:2, :2].set(MATRIX)
    _, _, q = fl.LinearSDE(wide, jnp.concatenate([NOISE, jnp.eye(2)])).discretise(0.0, 0.9)
    noise = jax.jacfwd(lambda z: both.push(jnp.append(X, jnp.zeros(2)), 0.0, 0.9, None, z))(jnp.zeros((1, 4)))[:, 0]
    np.testing.assert_allclose(noise @ noise.T, q, atol=1e-10)


def expected(scheme, steps, function):
    """E function(x(1)) of a scheme for dx = tanh(x) dt + dW from 0.5, backwards by quadrature over its Gaussian substeps."""
    grid, h = np.linspace(-14, 14, 1401), 1.0 / steps
    nodes, weights = np.polynomial.hermite_e.hermegauss(40)
    transition = scheme(fl.SDE(lambda t, x, u: jnp.tanh(x), jnp.ones(1)), steps=1)
    mean, factor = jax.vmap(lambda x: transition.moments(x, jnp.zeros(()), jnp.asarray(h)))(jnp.asarray(grid)[:, None])
    value = function
    for _ in range(steps):
        values = value(np.asarray(mean) + np.asarray(factor[:, :, 0]) * nodes) @ weights / weights.sum()
        value = CubicSpline(grid, values)
    return value(0.5)


@pytest.mark.parametrize(
    ("function", "exact"),
    [(lambda x: x, 0.5 + np.tanh(0.5)), (lambda x: x**2, 0.25 + 2 + np.tanh(0.5))],
    ids=["mean", "second moment"],
)
def test_weak_order_two_with_additive_noise(function, exact):
    """The Benes SDE ends at N(x0 + t, t) or N(x0 - t, t) with weights proportional to exp(x0) and exp(-x0)."""
    errors = [abs(expected(fl.LocalLinear, steps, function) - exact) for steps in (4, 8, 16)]
    assert (abs(np.log2(np.divide(errors[:-1], errors[1:])) - 2) < 0.2).all()
    euler = [abs(expected(fl.EulerMaruyama, steps, function) - exact) for steps in (8, 16)]
    assert errors[2] < 0.1 * euler[1]


def test_derivatives():
    """By the state and a parameter, in both modes and against differences."""

    @jax.jit
    def slopes(x, rate):
        def moved(shift):
            sde = fl.SDE(lambda t, y, u: jnp.sin((rate + shift) * y + t), lambda t, y, u: 0.3 + 0.1 * y)
            return fl.LocalLinear(sde, steps=2).sample(x + shift, 0.0, 1.0, key=jax.random.key(0))

        ends = jax.vmap(moved)(jnp.array([-1e-5, 1e-5]))
        return jax.jacfwd(moved)(0.0), jax.jacrev(moved)(0.0), (ends[1] - ends[0]) / 2e-5

    ahead, back, quotient = slopes(X, 1.5)
    np.testing.assert_allclose(ahead, back, atol=1e-12)
    np.testing.assert_allclose(ahead, quotient, atol=1e-8)
