"""Laws of beliefs: draws, moments and quantiles tell one law."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import filterlearn as fl
from tests.cases import BELIEFS, NORMAL, POINTS

DRAWS = 20_000


@pytest.mark.parametrize("name", BELIEFS)
def test_draws_have_the_moments_and_quantiles(name):
    belief = BELIEFS[name]()
    draws = belief.sample(DRAWS, key=jax.random.key(0))
    assert (abs(draws.mean(0) - belief.mean) < 5 * draws.std(0) / np.sqrt(DRAWS)).all()
    square = (draws - belief.mean)[:, :, None] * (draws - belief.mean)[:, None, :]
    # an ensemble divides by N - 1: its draws' covariance is lower by 1/N
    slack = 5 * square.std(0) / np.sqrt(DRAWS) + abs(belief.covariance) / 500
    assert (abs(square.mean(0) - belief.covariance) < slack).all()
    levels = jnp.array([0.1, 0.5, 0.8])
    below = (draws[None] <= belief.quantile(levels)[:, None]).mean(1)
    # five standard errors of a proportion, and the mass of one of 500 points (at most 2 / 501 when weighted)
    assert (abs(below - levels[:, None]) < 5 * np.sqrt(0.25 / DRAWS) + 2 / 501).all()


@pytest.mark.parametrize("name", ["joint", "nested", "tangent", "bank"])
def test_joint_draws_keep_state_and_parameters_together(name):
    belief = BELIEFS[name]()
    states, thetas = belief.sample_both(DRAWS, key=jax.random.key(1))
    for draws, part in ((states, belief.state), (thetas, belief.parameters)):
        assert (abs(draws.mean(0) - part.mean) < 5 * draws.std(0) / np.sqrt(DRAWS)).all()
    # joint: the off-diagonal block; nested: each state is drawn about its own parameter, so theirs is that of the points;
    # tangent: none; bank: the joint block of each member, and what their means share
    cross = {
        "joint": lambda: belief.stacked.covariance[:2, 2:],
        "nested": lambda: belief.parameters.covariance,
        "tangent": lambda: jnp.zeros((3, 3)),
        "bank": lambda: (
            belief.members.stacked.covariance[0] + jnp.cov(belief.members.stacked.mean.T, aweights=belief.weights, ddof=0)
        )[:2, 2:],
    }[name]()
    products = (states - states.mean(0))[:, :, None] * (thetas - thetas.mean(0))[:, None, :]
    assert (abs(products.mean(0) - cross) < 5 * products.std(0) / np.sqrt(DRAWS)).all()


@pytest.mark.parametrize("name", ["gaussian", "square_root", "ensemble", "particles"])
def test_an_affine_map_takes_the_moments_with_it(name):
    """A x + b + L e: mean and covariance of the belief, on average over 4,000 keys within five standard errors (the sample
    mean of e is subtracted from an ensemble's covariance with N - 1, from a weighted one's with 1 - 1 / ESS)."""
    belief = BELIEFS[name]()
    matrix, offset = jnp.array([[1.0, 0.5, 0.0], [0.0, -1.0, 2.0]]), jnp.array([3.0, 4.0])
    factor = jnp.array([[0.2], [0.4]])
    keys = jax.random.split(jax.random.key(2), 4000)
    means, covariances = jax.vmap(lambda k: ((b := belief.mapped(matrix, offset, factor, key=k)).mean, b.covariance))(keys)
    exact = matrix @ belief.covariance @ matrix.T + factor @ factor.T
    assert (abs(means.mean(0) - matrix @ belief.mean - offset) < 5 * means.std(0) / np.sqrt(4000) + 1e-12).all()
    assert (abs(covariances.mean(0) - exact) < 5 * covariances.std(0) / np.sqrt(4000) + 0.16 / 300).all()


@pytest.mark.parametrize("name", ["gaussian", "square_root"])
def test_gaussian_beliefs_are_made_from_moments_factors_and_parts(name):
    belief = BELIEFS[name]()
    wide = jnp.asarray(POINTS[:6].T)
    made = {
        "moments": (belief.with_moments(belief.mean + 1, NORMAL.covariance), NORMAL.covariance),
        "factor": (belief.with_factor(belief.mean, wide), wide @ wide.T),
        "part": (belief.marginal(slice(1, 3)), NORMAL.covariance[1:, 1:]),
    }
    for other, covariance in made.values():
        assert type(other) is type(belief)
        np.testing.assert_allclose(other.covariance, covariance, rtol=1e-12)
        np.testing.assert_allclose(other.factor @ other.factor.T, covariance, rtol=1e-12)
    np.testing.assert_array_equal(made["part"][0].mean, belief.mean[1:])


def test_a_diffuse_coordinate_has_no_proper_law():
    belief = fl.DiffuseGaussian(jnp.zeros(2), jnp.eye(2), jnp.diag(jnp.array([1.0, 0.0])), jnp.zeros(()))
    draws, low = belief.sample(3, key=jax.random.key(0)), belief.quantile(0.05)
    assert jnp.isnan(draws[:, 0]).all()
    assert jnp.isfinite(draws[:, 1]).all()
    assert low[0] == -jnp.inf
    assert abs(low[1] + 1.6448536) < 1e-6
