"""Laws of the moves that keep parameter particles apart."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import filterlearn as fl
from tests.cases import MOVES, POINTS

SD = jnp.array([0.5, 1.0, 2.0])


def clouds(move):
    """Moved clouds of 500, over 400 keys, from equal weights and no resampling."""
    weights, index = jnp.full(500, -jnp.log(500.0)), jnp.arange(500)
    keys = jax.random.split(jax.random.key(0), 400)
    return jax.vmap(lambda k: move.shifted(jnp.asarray(POINTS), weights, index, SD, key=k))(keys)


@pytest.mark.parametrize("name", MOVES)
def test_mean_stays_and_covariance_is_the_stated_one(name):
    make, expected = MOVES[name]
    moved = clouds(make())
    means = moved.mean(1)
    assert (abs(means.mean(0) - POINTS.mean(0)) < 5 * means.std(0) / np.sqrt(400)).all()
    own = np.cov(POINTS.T, ddof=0)
    centred = moved - POINTS.mean(0)
    spread = jnp.einsum("kni,knj->kij", centred, centred) / 500
    assert (abs(spread.mean(0) - expected(own, jnp.diag(SD**2))) < 5 * spread.std(0) / np.sqrt(400)).all()


def test_a_floor_revives_a_frozen_cloud():
    """All particles alike: shrinkage alone would leave them so; the floor gives each direction its prior share."""
    alike, weights = jnp.zeros((500, 3)), jnp.full(500, -jnp.log(500.0))
    moved = fl.LiuWest(0.98, 0.1).shifted(alike, weights, jnp.arange(500), SD, key=jax.random.key(0))
    assert (abs(moved.std(0) / (0.1 * SD) - 1) < 5 / np.sqrt(2 * 500)).all()
