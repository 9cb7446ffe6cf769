"""The ensemble optimiser against least squares, and against the ensemble that is never drawn anew."""

import jax
import jax.numpy as jnp
import numpy as np

import filterlearn as fl

RNG = np.random.default_rng(0)
A = jnp.asarray(RNG.normal(size=(120, 100)) / np.sqrt(120))
B = A @ RNG.normal(size=100)


def residual(theta):
    return A @ theta - B


def kept(size, scale, damping, iterations, key):
    """Classical ensemble Kalman inversion without perturbations: the loss at the mean of an ensemble that is kept."""

    def moved(members, _):
        x, y = members - members.mean(0), (seen := jax.vmap(residual)(members)) - seen.mean(0)
        inner = y.T @ y / (size - 1) + damping * jnp.eye(y.shape[1])
        return members - jnp.linalg.solve(inner, seen.T).T @ (y.T @ x) / (size - 1), None

    start = scale * jax.random.normal(key, (size, A.shape[1]))
    return 0.5 * jnp.sum(residual(jax.lax.scan(moved, start, length=iterations)[0].mean(0)) ** 2)


def test_drawn_anew_it_goes_where_the_kept_ensemble_cannot():
    """A8: a thousand times below, after 2,000 iterations of ten members."""
    key, optimiser = jax.random.key(0), fl.EnsembleOptimiser(10, 0.01, 1e-6)
    theta, losses = jax.jit(lambda: optimiser.minimise(residual, jnp.zeros(100), 2000, key=key))()
    ours, theirs = 0.5 * jnp.sum(residual(theta) ** 2), jax.jit(lambda: kept(10, 0.01, 1e-6, 2000, key))()
    print(f"start {losses[0]:.1f}, kept {theirs:.1f}, drawn anew {ours:.1e}")
    assert theirs > 1000 * ours
    assert theirs > 0.5 * losses[0]  # it is stuck


def test_enough_members_solve_a_linear_problem_in_one_step():
    """Any tree of parameters; 1e-8 is the rounding of the normal equations of 30 random moves."""
    matrix, target = RNG.normal(size=(20, 5)), RNG.normal(size=20)
    whole = lambda tree: jnp.concatenate([tree["a"], tree["b"].ravel()])  # noqa: E731
    start = {"a": jnp.ones(1), "b": jnp.zeros((2, 2))}
    best, losses = fl.EnsembleOptimiser(5, 0.1, 0.0).minimise(
        lambda tree: matrix @ whole(tree) - target, start, 1, key=jax.random.key(1)
    )
    np.testing.assert_allclose(whole(best), np.linalg.lstsq(matrix, target)[0], atol=1e-8)
    np.testing.assert_allclose(losses[0], 0.5 * np.sum((matrix[:, 0] - target) ** 2))
