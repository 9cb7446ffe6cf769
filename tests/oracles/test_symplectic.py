"""What mechanics keeps is kept."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import filterlearn as fl

DRIFT = fl.HamiltonianDrift(2, width=8, key=jax.random.key(1))
X = jnp.array([0.7, -0.4, 0.3, 0.9])


def scheme(drift, steps=1, kind=fl.Symplectic):
    return kind(fl.SDE(drift, jnp.zeros(4)), steps=steps)


def moved(transition, x, time):
    return transition.sample(x, 0.0, time, key=jax.random.key(0))


def test_a_step_is_a_canonical_map():
    """J' Omega J = Omega, and exp(-damping h) Omega with damping; a step back from (q, -p) returns."""
    omega = np.block([[np.zeros((2, 2)), np.eye(2)], [-np.eye(2), np.zeros((2, 2))]])
    flip = jnp.array([1.0, 1.0, -1.0, -1.0])
    for damping in (0.0, 0.3):
        drift = fl.HamiltonianDrift(2, width=8, damping=damping, key=jax.random.key(1))
        slope = jax.jacfwd(lambda x, d=drift: moved(scheme(d), x, 0.4))(X)
        np.testing.assert_allclose(slope.T @ omega @ slope, np.exp(-0.4 * damping) * omega, atol=1e-13)
    there = moved(scheme(DRIFT, 5), X, 2.0)
    np.testing.assert_allclose(flip * moved(scheme(DRIFT, 5), flip * there, 2.0), X, atol=1e-13)


def test_the_step_is_of_order_two():
    """Against Runge-Kutta of 200 steps."""
    exact = moved(scheme(DRIFT, 200, fl.RungeKutta), X, 2.0)
    errors = [abs(moved(scheme(DRIFT, steps), X, 2.0) - exact).max() for steps in (20, 40, 80)]
    assert (abs(np.log2(np.divide(errors[:-1], errors[1:])) - 2) < 0.1).all()


def test_momentum_is_the_slope_of_energy():
    """dx/dt = Omega grad H."""
    slope = jax.grad(DRIFT.energy)(X)
    np.testing.assert_allclose(DRIFT(0.0, X, None), jnp.concatenate([slope[2:], -slope[:2]]), atol=1e-13)


@pytest.mark.parametrize("damping", [0.0, 0.4])
def test_a_lagrangian_keeps_its_energy(damping):
    """dE/dt = -damping |v|^2, with masses that depend on q."""
    drift = fl.LagrangianDrift(2, width=8, damping=damping, key=jax.random.key(2))
    rate = jax.grad(drift.energy)(X) @ drift(0.0, X, None)
    np.testing.assert_allclose(rate, -damping * (X[2:] @ X[2:]), atol=1e-12)
    assert abs(jax.jacfwd(drift.masses)(X[:2])).max() > 0.01


def test_tied_points_stay_tied():
    """A rigid pendulum in Cartesian coordinates, with gravity known and no network: the angle's own equation, the length kept
    to the solver's error, the energy too, and a length that is wrong comes back."""
    rod = lambda q: jnp.sum(q**2, keepdims=True) - 1.0  # noqa: E731
    drift = fl.ConstrainedDrift(2, rod, known=lambda q: 9.8 * q[1], key=jax.random.key(0))
    drift = jax.tree.map(lambda leaf: 0 * leaf if isinstance(leaf, jax.Array) else leaf, drift)
    angle, speed = 0.8, -0.5
    q, tangent = jnp.array([jnp.sin(angle), -jnp.cos(angle)]), jnp.array([jnp.cos(angle), jnp.sin(angle)])
    x = jnp.concatenate([q, speed * tangent])
    rates = drift(0.0, x, None)
    np.testing.assert_allclose(rates[2:], -9.8 * jnp.sin(angle) * tangent - speed**2 * q, atol=1e-12)
    go = jax.jit(lambda x: moved(scheme(drift, 400, fl.RungeKutta), x, 4.0))
    after = go(x)
    np.testing.assert_allclose(rod(after[:2]), 0, atol=1e-6)
    np.testing.assert_allclose(drift.energy(after), drift.energy(x), atol=1e-5)
    pulled = go(x.at[:2].multiply(1.1))
    assert abs(rod(pulled[:2])[0]) < 0.1 * abs(rod(1.1 * q)[0])
