"""Ensembles: each member as if alone, and their mixture against its closed form."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from scipy.stats import norm

import filterlearn as fl
from tests.cases import drift_of, seen_paths

KEY = jax.random.key(3)


def test_a_member_is_trained_as_if_alone():
    """To rounding, with minibatches and data held out."""
    members = {"w": jnp.stack([jnp.eye(2) * s for s in (-0.5, 0.2)]), "start": jnp.zeros((2, 2))}
    weak, data = fl.WeakForm(drift_of, 5), fl.stacked(seen_paths())
    given = {"optimiser": optax.adam(0.05), "steps": 25, "every": 10, "batch": 1, "held_out": data}
    out = fl.train_ensemble(weak, members, data, key=KEY, **given)
    for k, key in enumerate(jax.random.split(KEY, 2)):
        alone = fl.train(weak, jax.tree.map(lambda leaf: leaf[k], members), data, key=key, **given)  # noqa: B023
        mine = jax.tree.map(lambda leaf: leaf[k], out)  # noqa: B023
        for one, two in zip(jax.tree.leaves(mine), jax.tree.leaves(alone), strict=True):
            np.testing.assert_allclose(one, two, rtol=1e-9, atol=1e-12)


def level(module):
    """A level that walks, seen with variance 1."""
    walk = fl.LinearSDE([[0.0]], module["scale"][None, None])
    seen = fl.LinearGaussianObservation([[1.0]], [[1.0]])
    return fl.StateSpaceModel(fl.Gaussian(module["level"][None], 0.5, time=0.0), walk, seen)


MEMBERS = {"level": jnp.array([0.0, 1.0, 4.0]), "scale": jnp.array([0.5, 1.0, 0.1])}


def test_a_blend_is_the_mixture_of_the_members_predictions():
    data = fl.Dataset([1.0, 2.0, 3.5], [0.3, np.nan, 1.2])
    out = fl.blend(level, MEMBERS, fl.Kalman(), data)
    runs = [fl.run(fl.Kalman(), level(jax.tree.map(lambda leaf: leaf[k], MEMBERS)), data) for k in range(3)]  # noqa: B023
    laws = [norm(r.info.predicted[0][:, 0], r.info.predicted[1][:, 0] ** 0.5) for r in runs]
    exact = np.log(np.mean([law.pdf(data.values[:, 0]) for law in laws], axis=0))
    np.testing.assert_allclose(out.log_score, np.where(np.isnan(exact), 0, exact), rtol=1e-9)
    np.testing.assert_allclose(out.pit[:, 0], np.mean([law.cdf(data.values[:, 0]) for law in laws], axis=0), rtol=1e-9)
    np.testing.assert_allclose(out.members, [r.log_evidence for r in runs], rtol=1e-9)


def test_a_forecast_has_the_moments_of_the_mixture():
    """Mean and variance of y within five standard errors."""
    data, draws = fl.Dataset([1.0], [0.3]), 4000
    out = fl.forecast_ensemble(level, MEMBERS, fl.Kalman(), data, [2.0], key=KEY, draws=draws)
    assert out.observations.shape == (3 * draws, 1, 1)
    means, variances = [], []
    for start, scale in zip(MEMBERS["level"], MEMBERS["scale"], strict=True):
        ahead = 0.5 + scale**2
        means.append(start + ahead / (ahead + 1) * (0.3 - start))
        variances.append(ahead / (ahead + 1) + scale**2 + 1)
    mean, variance = np.mean(means), np.mean(variances) + np.var(means)
    y = np.asarray(out.observations[:, 0, 0]).reshape(3, draws)
    error = np.sqrt(np.mean(variances) / y.size)
    assert abs(y.mean() - mean) < 5 * error
    assert abs(np.mean(y.var(1)) - np.mean(variances)) < 5 * np.sqrt(2 * np.mean(np.square(variances)) / y.size)
    assert abs(y.var() - variance) < 5 * (2 * variance * np.sqrt(2 / y.size))
    assert eqx.tree_equal(out, fl.forecast_ensemble(level, MEMBERS, fl.Kalman(), data, [2.0], key=KEY, draws=draws))
