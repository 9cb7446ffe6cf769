"""What each family of drifts promises holds at 10,000 states, whatever the weights: here three times the prior's."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import filterlearn as fl
from tests.cases import DRIFTS

STATES = 10_000
U = jnp.array([0.7])


def far(name):
    """The drift with its weights thrice as large, and how many states it has."""
    make, states, inputs = DRIFTS[name]
    larger = jax.tree.map(lambda leaf: 3 * leaf if eqx.is_inexact_array(leaf) else leaf, make())
    return larger, states, U if inputs else None


def inwards(drift, x, _, u):
    """The drift points inwards at 200 times the unit sphere."""
    outside = 200 * x / jnp.linalg.norm(x)
    return outside @ drift(0.0, outside, u) / 200


def gently(drift, x, other, u):
    """Within `bound` times the distance."""
    return jnp.linalg.norm(drift(0.0, x, u) - drift(0.0, other, u)) - drift.bound * jnp.linalg.norm(x - other)


def kept_in_the_box(low, high):
    """At the sides of a box each rate points inwards."""

    def crossing(drift, x, _, u):
        low_, high_ = low(drift), high(drift)
        x = jnp.clip(x, low_, high_)
        below, above = (jax.vmap(lambda i, b=b: drift(0.0, x.at[i].set(b[i]), u)[i])(jnp.arange(2)) for b in (low_, high_))
        return jnp.maximum(-below, above).max()

    return crossing


def turning(drift, x, _, u):
    """A Jacobian whose two eigenvalues have real parts below 0: a negative trace and a positive determinant."""
    slope = jax.jacfwd(lambda x: drift(0.0, x, u))(x)
    return jnp.maximum(jnp.trace(slope), -jnp.linalg.det(slope))


def falling(drift, x, _, u):
    """grad V . f + rate V."""
    level, slope = jax.value_and_grad(drift.function)(x)
    return slope @ drift(0.0, x, u) + drift.rate * level


def falling_on_average(drift, x, _, u):
    """The generator by the trace of a product, + rate V - b."""
    g = jnp.diag(drift.sde.diffusion(0.0, x, u))
    return falling(drift, x, None, u) + 0.5 * jnp.trace(g @ g.T @ jax.hessian(drift.function)(x)) - drift.bound(0.0, u)


def losing_energy(drift, x, _, u):
    """dH/dt less what the inputs bring."""
    slope = jax.grad(drift.energy)(x)
    return slope @ (drift(0.0, x, u) - drift.drive @ u)


def approaching(drift, x, other, u):
    """(a - b) . (f(a) - f(b)) + rate |a - b|^2."""
    gap = x - other
    return gap @ (drift(0.0, x, u) - drift(0.0, other, u)) + drift.rate * gap @ gap


def shrinking(drift, x, _, u):
    """z . K z."""
    return x @ drift.matrix @ x


def still(drift, x, _, u):
    """No rate without inputs, and twice as much for twice the inputs."""
    rates = drift(0.0, x, u)
    return jnp.abs(drift(0.0, x, 0 * u)).max() + jnp.abs(drift(0.0, x, 2 * u) - 2 * rates).max()


GUARANTEES = {  # a number that is never above rounding
    "network": inwards,
    "lipschitz": gently,
    "gated": kept_in_the_box(lambda drift: -jnp.ones(2), lambda drift: jnp.ones(2)),
    "liquid": kept_in_the_box(lambda drift: jnp.minimum(drift.reversal, 0), lambda drift: jnp.maximum(drift.reversal, 0)),
    "antisymmetric": turning,
    "controlled": still,
    "koopman": shrinking,
    "lyapunov": falling,
    "stochastic_lyapunov": falling_on_average,
    "port_hamiltonian": losing_energy,
    "contracting": approaching,
}


@pytest.mark.parametrize("name", GUARANTEES)
def test_the_guarantee_holds(name):
    """Within 1e-9, at states of sd 2."""
    drift, states, u = far(name)
    xs, others = 2 * jax.random.normal(jax.random.key(0), (2, STATES, states))
    found = eqx.filter_jit(jax.vmap(lambda x, y: GUARANTEES[name](drift, x, y, u)))(xs, others)
    assert found.max() < 1e-9


def test_projection_changes_nothing_that_is_good():
    """Where V falls already the nominal drift stays, elsewhere V falls at the rate exactly; the centre rests."""
    drift, *_ = far("lyapunov")
    xs = 2 * jax.random.normal(jax.random.key(0), (500, 2))
    nominal = jax.vmap(lambda x: drift.nominal(0.0, x, None) - drift.nominal(0.0, 0 * x, None))(xs)
    rates = jax.vmap(lambda x: drift(0.0, x, None))(xs)
    fall = jax.vmap(lambda x: falling(drift, x, None, None))(xs)
    good = jnp.abs(nominal - rates).max(1) < 1e-12
    assert 30 < good.sum() < 495
    np.testing.assert_allclose(fall[~good], 0, atol=1e-12)
    np.testing.assert_array_equal(drift(0.0, jnp.zeros(2), None), 0)


def test_a_lifted_state_is_a_linear_sde():
    """The drift of `LinearSDE(matrix)`: its step over a short gap."""
    drift, *_ = far("koopman")
    z = drift.lift(jnp.array([0.3, -0.8]))
    linear, h = fl.LinearSDE(drift.matrix, 0.1 * jnp.ones(3)), 1e-6
    moved = linear.discretise(0.0, h)[0] @ z
    np.testing.assert_allclose((moved - z) / h, drift(0.0, z, jnp.zeros(1)), rtol=1e-4)
    np.testing.assert_array_equal(z[:2], [0.3, -0.8])
