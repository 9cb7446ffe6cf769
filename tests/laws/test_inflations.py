"""Laws of inflations: one datum, the transform analysis, whose moments without inflation are Kalman's."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import filterlearn as fl
from tests.cases import INFLATIONS

KEYS = jax.random.split(jax.random.key(6), 3)
MEMBERS = jax.random.normal(KEYS[0], (8, 3)) @ jnp.array([[1.0, 0.5, 0.0], [0.0, 1.0, 0.3], [0.0, 0.0, 0.7]])
H = jnp.array([[1.0, 0.0, 0.5], [0.0, 1.0, 0.0]])
R = 0.5 * jnp.eye(2)
NOW = jnp.zeros(())
MODEL = fl.StateSpaceModel(
    fl.Gaussian(jnp.zeros(3), 1.0), fl.LinearDiscrete(jnp.eye(3), jnp.eye(3)), fl.LinearGaussianObservation(H, R)
)


def analysed(inflation, y=(0.8, -1.0), members=MEMBERS, known=None):
    algorithm = fl.EnsembleKalman(members.shape[0], fl.Transform(), inflation)
    before = fl.Ensemble(members, NOW, known)
    return algorithm.update(MODEL, before, fl.Datum(NOW, jnp.asarray(y)), key=KEYS[1])[0]


def known(inflation, value=1.0):
    return None if inflation.start(jnp.float64) is None else jnp.asarray(value)


def sd(members):
    return members.std(0, ddof=1)


@pytest.mark.parametrize("name", INFLATIONS)
def test_the_mean_is_not_inflated(name):
    rule = INFLATIONS[name]()
    np.testing.assert_allclose(analysed(rule, known=known(rule)).mean, analysed(1.0).mean, atol=1e-12)


@pytest.mark.parametrize("name", INFLATIONS)
def test_nothing_seen_widens_nothing(name):
    rule = INFLATIONS[name]()
    after = analysed(rule, (jnp.nan, jnp.nan), known=known(rule, 1.3))
    np.testing.assert_array_equal(after.members, MEMBERS)
    assert after.inflation == known(rule, 1.3)


@pytest.mark.parametrize("name", INFLATIONS)
def test_gradient_of_its_number_matches_finite_differences(name):
    rule = INFLATIONS[name]()
    leaf, value = jax.tree.flatten(rule)[1], jax.tree.leaves(rule)[0]

    def told(number):
        after = analysed(jax.tree.unflatten(leaf, [number]), known=known(rule))
        return after.members[0, 1] + (0.0 if after.inflation is None else after.inflation)

    difference = (told(value + 1e-6) - told(value - 1e-6)) / 2e-6
    assert difference != 0
    np.testing.assert_allclose(jax.grad(told)(value), difference, rtol=1e-6)


def test_a_number_is_a_factor():
    np.testing.assert_array_equal(analysed(1.1).members, analysed(fl.Multiplicative(1.1)).members)
    np.testing.assert_allclose(sd(analysed(1.1).members), 1.1 * sd(analysed(1.0).members), rtol=1e-12)


def test_relaxation_goes_from_the_posterior_to_the_prior():
    prior, plain = MEMBERS - MEMBERS.mean(0), analysed(1.0)
    np.testing.assert_allclose(analysed(fl.RelaxToPerturbations(0.0)).members, plain.members, atol=1e-12)
    np.testing.assert_allclose(analysed(fl.RelaxToPerturbations(1.0)).members - plain.mean, prior, atol=1e-12)
    np.testing.assert_allclose(analysed(fl.RelaxToSpread(0.0)).members, plain.members, atol=1e-12)
    np.testing.assert_allclose(sd(analysed(fl.RelaxToSpread(1.0)).members), sd(MEMBERS), rtol=1e-12)
    half = 0.5 * (sd(MEMBERS) + sd(plain.members))
    np.testing.assert_allclose(sd(analysed(fl.RelaxToSpread(0.5)).members), half, rtol=1e-12)


def test_the_factor_multiplies_the_prior_covariance():
    wide = MEMBERS.mean(0) + np.sqrt(1.7) * (MEMBERS - MEMBERS.mean(0))
    inflated = analysed(fl.AdaptiveInflation(), known=jnp.asarray(1.7))
    np.testing.assert_allclose(inflated.members, analysed(1.0, members=wide).members, atol=1e-12)


@pytest.mark.parametrize(("truth", "now"), [(2.5, 2.5), (2.5, 1.0), (1.0, 2.5)])
def test_the_factor_is_drawn_to_the_one_that_made_the_data(truth, now):
    """Data from N(H m, truth H P H' + R): E f = now + gain (truth - now) with the gain of the docstring, five standard errors
    of 20,000 data."""
    p = H @ jnp.cov(MEMBERS.T) @ H.T
    centre, trace = H @ MEMBERS.mean(0), jnp.trace(p) / 0.5
    data = jax.random.multivariate_normal(KEYS[2], centre, truth * p + R, (20000,))
    found = jax.vmap(lambda y: analysed(fl.AdaptiveInflation(0.3), y, known=jnp.asarray(now)).inflation)(data)
    doubt = 2 / 2 * ((now * trace + 2) / trace) ** 2
    expected = now + 0.09 / (0.09 + doubt) * (truth - now)
    assert abs(found.mean() - expected) < 5 * found.std() / np.sqrt(20000)


def test_an_ensemble_without_spread_learns_nothing():
    flat = analysed(fl.AdaptiveInflation(), members=jnp.ones((8, 3)), known=jnp.asarray(1.2))
    assert flat.inflation == 1.2
    assert jnp.isfinite(flat.members).all()


def test_what_was_learned_is_carried_along_a_stream():
    rng = np.random.default_rng(0)
    data = fl.Dataset(np.arange(40.0), 3 * rng.normal(size=(40, 2)))  # larger than the model says
    algorithm = fl.EnsembleKalman(20, fl.Transform(), fl.AdaptiveInflation(0.2))
    still = eqx.tree_at(lambda m: m.transition, MODEL, fl.LinearDiscrete(jnp.eye(3), 0.01 * jnp.eye(3)))
    scan = fl.run(algorithm, still, data, key=KEYS[0]).last.inflation
    assert scan > 1.5
    session = fl.Session(algorithm, still, key=KEYS[0])
    for time, value in zip(data.times, data.values, strict=True):
        session.observe(float(time), value)
    np.testing.assert_allclose(
        session.belief.inflation, fl.run(algorithm, still, data, key=KEYS[0]).last.inflation, rtol=1e-9
    )


def test_other_kinds_are_refused():
    with pytest.raises(TypeError, match="inflation: a number or a rule"):
        fl.EnsembleKalman(10, inflation=fl.Transform())
