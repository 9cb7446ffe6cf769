"""The smoother of ensembles where its answer is exact."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import filterlearn as fl
from filterlearn.smoothers.base import followed
from tests.cases import linear_data, linear_model, regression_family
from tests.laws.test_learners import regression
from tests.oracles.dense import dense_smoother

KEY = jax.random.key(0)


@pytest.mark.parametrize("dtype", [jnp.float64, jnp.float32])
def test_without_noise_it_is_the_dense_smoother_of_its_own_start(dtype):
    """Five members of two states, moved without noise, square roots for analyses: moments lose nothing. Equal times, missing
    entries. In single precision, some thousand roundings."""
    still = eqx.tree_at(lambda m: m.transition.diffusion, linear_model(), jnp.zeros((2, 2)))
    algorithm, data = fl.EnsembleKalman(5, fl.Transform()), linear_data(12)
    model, series = jax.tree.map(lambda leaf: jnp.asarray(leaf, dtype), (still, data))
    out = fl.smooth(fl.EnsembleRauchTungStriebel(algorithm), model, fl.run(algorithm, model, series, key=KEY), key=KEY)
    start = jax.tree.map(lambda leaf: jnp.asarray(leaf, float), algorithm.init(model, key=jax.random.fold_in(KEY, 0)))
    own = eqx.tree_at(lambda m: m.initial, still, fl.Gaussian(start.mean, start.covariance, time=0.0))
    slack = 1e-10 if dtype == jnp.float64 else 1e3 * np.finfo(np.float32).eps
    for found, exact in zip((out.mean, out.covariance), dense_smoother(own, data), strict=True):
        assert found.dtype == dtype
        np.testing.assert_allclose(found, exact, atol=slack)


def test_few_members_make_it_the_ensemble_kalman_smoother():
    """Raanes (2016): three members of two states, with noise, are at every time what a lag of all the data makes of them."""
    algorithm, data = fl.EnsembleKalman(3), linear_data(11)
    back = fl.smooth(
        fl.EnsembleRauchTungStriebel(algorithm), linear_model(), fl.run(algorithm, linear_model(), data, key=KEY), key=KEY
    )
    online = fl.run(fl.FixedLag(algorithm, 10), linear_model(), data, key=KEY).last
    np.testing.assert_allclose(online.past.members[::-1], back.beliefs.members, atol=1e-9)


@pytest.mark.parametrize(("size", "states"), [(6, 3), (4, 7)])
def test_members_follow_by_least_squares(size, states):
    change, ahead, past = np.random.default_rng(0).normal(size=(3, size, states))
    slope = np.linalg.pinv(ahead - ahead.mean(0)) @ (past - past.mean(0))
    np.testing.assert_allclose(followed(*map(jnp.asarray, (change, ahead, past))), change @ slope, atol=1e-9)


def test_parameters_that_never_move_are_smoothed_to_the_last():
    """With the state, by `Joint`; the analysis of `Iterative` looks before the gap."""
    family, (data, _) = regression_family(), regression(1, 20)
    family = eqx.tree_at(lambda f: f.parameters["theta"].dynamics, family, fl.Static())
    learner = fl.Joint(fl.EnsembleKalman(8, fl.Iterative(1)))
    filtered = fl.run(learner, family, data, key=KEY)
    found = fl.smooth(fl.EnsembleRauchTungStriebel(learner), family, filtered, key=KEY)
    last = filtered.last.parameters.members
    np.testing.assert_allclose(found.beliefs.stacked.members[..., 1:], jnp.broadcast_to(last, (20, *last.shape)), atol=1e-9)


def test_another_key_or_belief_is_refused():
    algorithm, model, data = fl.EnsembleKalman(5), linear_model(), linear_data(11)
    out = fl.run(algorithm, model, data, key=KEY)
    with pytest.raises(ValueError, match="give the key of the run"):
        fl.smooth(fl.EnsembleRauchTungStriebel(algorithm), model, out, key=jax.random.key(1))
    with pytest.raises(ValueError, match="key: this algorithm draws random numbers"):
        fl.smooth(fl.EnsembleRauchTungStriebel(algorithm), model, out)
    with pytest.raises(TypeError, match="trajectory: ensembles are needed, got Gaussian; filter with EnsembleKalman"):
        fl.smooth(fl.EnsembleRauchTungStriebel(algorithm), model, fl.run(fl.Kalman(), model, data), key=KEY)
