"""Exact and published numbers: A1, A2 (one analysis)."""

import jax
import jax.numpy as jnp
import numpy as np

import filterlearn as fl
from filterlearn import datasets


def level(q, r, start):
    return fl.StateSpaceModel(start, fl.LinearDiscrete([[1.0]], [[q]]), fl.LinearGaussianObservation([[1.0]], [[r]]))


def test_nile_log_likelihoods():
    """Durbin & Koopman's local level."""
    data = datasets.nile()
    holes = np.asarray(data.values[:, 0]).copy()
    holes[20:40] = holes[60:80] = np.nan
    gaps = fl.Dataset(data.times, holes)
    best = fl.run(fl.Kalman(), level(1469.176, 15098.52, fl.Diffuse(1)), data).log_evidence
    assert best[0] == 0
    assert abs(best.sum() + 632.5456251) < 1e-6
    vague = level(1469.1, 15099.0, fl.Gaussian([0.0], 1e7))
    assert abs(fl.log_evidence(fl.Kalman(), vague, data) + 641.5855785) < 1e-6
    assert abs(fl.log_evidence(fl.Kalman(), level(1469.1, 15099.0, fl.Diffuse(1)), gaps) + 380.5870628) < 1e-6


def analyses(perturb):
    """Variance after one analysis of a standardised ensemble of 20, over 2,000 draws."""
    members = jax.random.normal(jax.random.key(0), (20, 1))
    members = (members - members.mean()) / members.std(ddof=1)
    observation = fl.LinearGaussianObservation([[1.0]], [[1.0]])
    model = fl.StateSpaceModel(fl.Gaussian([0.0], 1.0), fl.LinearDiscrete([[1.0]], [[0.0]]), observation)
    algorithm = fl.EnsembleKalman(20, perturb)
    belief = fl.Ensemble(members, jnp.zeros(()))
    datum = fl.Datum(jnp.zeros(()), jnp.array([0.8]))

    def one(key):
        after = algorithm.update(model, belief, datum, key=key)[0]
        return after.mean[0], after.covariance[0, 0]

    return jax.vmap(one)(jax.random.split(jax.random.key(1), 2000))


def test_perturbed_analysis_has_the_exact_mean_and_unbiased_variance():
    """A2; leaving the perturbations out would give a variance of .25."""
    mean, variance = analyses(fl.Perturbed())
    np.testing.assert_allclose(mean, 0.4, atol=1e-12)
    assert abs(variance.mean() - 0.5) < 5 * np.sqrt(0.375 / (19 * 2000))
