"""The ensemble optimiser against least squares, and against the ensemble that is never drawn anew."""

import jax
import jax.numpy as jnp
import numpy as np

import filterlearn as fl
from examples.ensemble_training import scores

RNG = np.random.default_rng(0)


def test_drawn_anew_it_goes_where_the_kept_ensemble_cannot():
    """A8: a thousand times below, after 2,000 iterations of ten members."""
    start, theirs, ours = scores(0)
    assert theirs > 1000 * ours
    assert theirs > 0.5 * start  # it is stuck


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
