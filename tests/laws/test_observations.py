"""Laws of observations."""

import jax
import jax.numpy as jnp
import pytest

from tests.cases import OBSERVATIONS

X = jnp.array([0.7, -0.4])


@pytest.mark.parametrize("name", OBSERVATIONS)
def test_density_integrates_to_one_and_matches_samples(name):
    law = OBSERVATIONS[name]()
    grid = jnp.linspace(-60.0, 60.0, 200_001)
    density = jnp.exp(jax.vmap(lambda y: law.log_prob(y[None], X, 0.0))(grid))
    step = grid[1] - grid[0]
    assert abs(density.sum() * step - 1) < 1e-5
    draws = jax.vmap(lambda k: law.sample(X, 0.0, key=k))(jax.random.split(jax.random.key(0), 40_000))[:, 0]
    mean, variance = law.predicted(X, 0.0)
    assert abs(draws.mean() - mean[0]) < 5 * draws.std() / 200
    assert abs((density * grid).sum() * step - mean[0]) < 1e-5
    assert abs((density * (grid - mean[0]) ** 2).sum() * step - variance[0]) < 1e-2 * variance[0]


@pytest.mark.parametrize("name", OBSERVATIONS)
def test_a_missing_entry_counts_nothing(name):
    assert OBSERVATIONS[name]().log_prob(jnp.array([jnp.nan]), X, 0.0) == 0
