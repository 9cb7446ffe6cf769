"""Laws of ensemble analyses: one datum, where the Kalman update with the sample moments is known."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import filterlearn as fl
from filterlearn.analyses.base import innovation, symmetric_transform, transformed
from filterlearn.numerics.roots import inverse_root
from filterlearn.numerics.taper import gaspari_cohn
from tests.cases import ANALYSES, APART, SQUARE_ROOTS, WIDE

KEYS = jax.random.split(jax.random.key(4), 4)
SIZE = 12
MEMBERS = jax.random.normal(KEYS[0], (SIZE, 5)) @ jax.random.normal(KEYS[1], (5, 5))
H = jax.random.normal(KEYS[2], (3, 5))
ROOT = jax.random.normal(KEYS[3], (3, 3))
R = ROOT @ ROOT.T + jnp.eye(3)
Y = jnp.array([0.8, -1.0, 2.0])
NOW = jnp.zeros(())


def model(h=H, r=R):
    still = fl.LinearDiscrete(jnp.eye(h.shape[1]), jnp.eye(h.shape[1]))
    return fl.StateSpaceModel(fl.Gaussian(jnp.zeros(h.shape[1]), 1.0), still, fl.LinearGaussianObservation(h, r))


def analysed(analysis, y=Y, members=MEMBERS, key=KEYS[0], **parts):
    algorithm = fl.EnsembleKalman(members.shape[0], analysis)
    return algorithm.update(model(**parts), fl.Ensemble(members, NOW), fl.Datum(NOW, y), key=key)


def kalman(y):
    """Mean, covariance and log evidence of the update with the sample moments, over the observed entries."""
    seen = ~np.isnan(y)
    h, r, p, mean = H[seen], R[np.ix_(seen, seen)], np.cov(MEMBERS.T), MEMBERS.mean(0)
    s, error = h @ p @ h.T + r, y[seen] - h @ mean
    gain = p @ h.T @ np.linalg.inv(s)
    evidence = -0.5 * (error @ np.linalg.solve(s, error) + np.linalg.slogdet(2 * np.pi * s)[1])
    return mean + gain @ error, p - gain @ h @ p, evidence


@pytest.mark.parametrize("y", [Y, Y.at[1].set(jnp.nan)], ids=["whole", "partial"])
@pytest.mark.parametrize("name", ANALYSES)
def test_moments_are_those_of_the_kalman_update(name, y):
    belief, info = analysed(ANALYSES[name][0](), y)
    mean, covariance, evidence = kalman(y)
    np.testing.assert_allclose(info.log_evidence, evidence, atol=1e-12)
    if name != "finite_size":  # it infers another prior spread
        np.testing.assert_allclose(belief.mean, mean, atol=1e-9)
    if name in SQUARE_ROOTS:
        np.testing.assert_allclose(belief.covariance, covariance, atol=1e-9)


@pytest.mark.parametrize("name", [n for n, (_, expected) in ANALYSES.items() if expected is not None])
def test_variance_of_a_standardised_ensemble(name):
    """A2, ten members and a datum at their mean."""
    members = jax.random.normal(KEYS[1], (10, 1))
    members = (members - members.mean()) / members.std(ddof=1)
    belief, _ = analysed(ANALYSES[name][0](), jnp.zeros(1), members, h=jnp.eye(1), r=jnp.eye(1))
    np.testing.assert_allclose(belief.covariance[0, 0], ANALYSES[name][1], rtol=1e-10)


@pytest.mark.parametrize("name", ["perturbed", "perturbed_tapered"])
def test_perturbations_leave_the_covariance_unbiased(name):
    """A2; leaving them out would give (I - K H) P (I - K H)', many standard errors away."""
    many = jax.vmap(lambda k: analysed(ANALYSES[name][0](), key=k)[0].covariance)(jax.random.split(KEYS[2], 4000))
    assert (jnp.abs(many.mean(0) - kalman(Y)[1]) < 5 * many.std(0) / np.sqrt(4000)).all()


@pytest.mark.parametrize("name", ANALYSES)
def test_gradient_matches_finite_differences(name):
    analysis = ANALYSES[name][0]()

    def spread(scale):
        belief, info = analysed(analysis, members=scale * MEMBERS)
        return info.log_evidence + belief.members[0] @ jnp.arange(5.0)

    difference = (spread(1.1 + 1e-6) - spread(1.1 - 1e-6)) / 2e-6
    np.testing.assert_allclose(jax.grad(spread)(1.1), difference, rtol=1e-6)


@pytest.mark.parametrize(
    "make", [lambda: fl.Serial(fl.Taper(WIDE, APART, 1.5)), lambda: fl.Local(WIDE, 1.5)], ids=["serial", "local"]
)
def test_the_radius_is_a_leaf(make):
    def first(radius):
        analysis = eqx.tree_at(lambda a: a.taper.radius if isinstance(a, fl.Serial) else a.radius, make(), radius)
        return analysed(analysis, r=jnp.eye(3))[0].mean[0]

    difference = (first(1.5 + 1e-6) - first(1.5 - 1e-6)) / 2e-6
    np.testing.assert_allclose(jax.grad(first)(1.5), difference, rtol=1e-5)


def test_far_observations_do_not_reach():
    """With radius .5 the taper ends at 1.82 < 2: each sensor moves the states at distances 0 and 1 alone."""
    alone = jnp.array([2.0, jnp.nan, jnp.nan])
    for analysis in (fl.Local(WIDE, 0.5), fl.Serial(fl.Taper(WIDE, APART, 0.5)), fl.Perturbed(fl.Taper(WIDE, APART, 0.5))):
        moved = analysed(analysis, alone, r=jnp.eye(3))[0].mean - MEMBERS.mean(0)
        assert (jnp.abs(moved[:2]) > 1e-6).all()
        np.testing.assert_allclose(moved[2:], 0.0, atol=1e-12)


def test_both_covariances_of_the_gain_are_tapered():
    """The mean moves by (rho_xy o P H') (rho_yy o H P H' + R)^-1; a taper on the first alone makes the filter diverge."""
    taper, error = fl.Taper(WIDE, APART, 0.8), Y - H @ MEMBERS.mean(0)
    p, cross, between = np.cov(MEMBERS.T), *(gaspari_cohn(d, 0.8) for d in (WIDE, APART))
    gain = (cross * (p @ H.T)) @ np.linalg.inv(between * (H @ p @ H.T) + R)
    np.testing.assert_allclose(analysed(fl.Perturbed(taper))[0].mean, MEMBERS.mean(0) + gain @ error, atol=1e-9)


def test_taper_is_one_at_zero_continuous_and_definite():
    np.testing.assert_allclose(gaspari_cohn(jnp.array([0.0, 1.82, 3.64, 9.0]), 1.0), [1.0, 5 / 24, 0.0, 0.0], atol=1e-12)
    grid = jnp.arange(30.0)
    assert jnp.linalg.eigvalsh(gaspari_cohn(grid[:, None] - grid, 3.0)).min() > -1e-12


def test_inverse_root_has_a_finite_derivative_at_repeated_eigenvalues():
    slope = jax.jvp(inverse_root, (jnp.eye(3),), (jnp.diag(jnp.array([1.0, 0.0, 2.0])),))[1]
    np.testing.assert_allclose(slope, jnp.diag(jnp.array([-0.5, 0.0, -1.0])), atol=1e-12)


@pytest.mark.parametrize("seen", [3, SIZE, 14])
def test_the_symmetric_transform_is_one_in_both_spaces(seen):
    """Of a datum with fewer, as many and more entries than there are members: the inverse root in the ensemble space."""
    h, error = jax.random.normal(KEYS[2], (5, seen)), jax.random.normal(KEYS[3], (seen,))
    told = innovation(MEMBERS @ h, error, jnp.ones(seen, bool), 0.5 * jnp.eye(seen))
    root = inverse_root(jnp.eye(SIZE) + told.spread.T @ told.spread)
    weights = root @ (root @ (told.spread.T @ told.error)) / np.sqrt(SIZE - 1)
    np.testing.assert_allclose(symmetric_transform(MEMBERS, told), transformed(MEMBERS, weights, root), atol=1e-11)


def test_an_ensemble_without_spread_is_flagged():
    """All members one: nothing can be told them, and the evidence is that of the noise alone."""
    still = fl.StateSpaceModel(
        fl.Gaussian([0.3], 0.0, time=0.0), fl.LinearDiscrete([[1.0]], [[0.0]]), model(np.eye(1), np.eye(1)).observation
    )
    out = fl.run(fl.EnsembleKalman(5), still, fl.Dataset([1.0, 2.0], [0.5, np.nan]), key=jax.random.key(0))
    np.testing.assert_array_equal(out.info.flags, fl.protocol.COLLAPSED)
    np.testing.assert_allclose(out.mean, 0.3, rtol=1e-15)
