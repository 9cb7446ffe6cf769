"""Laws of transitions."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.cases import EXACT, TRANSITIONS

X = jnp.array([0.7, -0.4])
GAUSSIAN = [name for name in TRANSITIONS if not name.startswith(("since_last", "jumps_at_data"))]
COUNTING = [name for name in TRANSITIONS if name.endswith("counts")]


@pytest.mark.parametrize("name", TRANSITIONS)
def test_equal_times_are_the_identity_with_finite_gradients(name):
    transition = TRANSITIONS[name]()

    def moved(x):
        return transition.sample(x, 1.0, 1.0, key=jax.random.key(0))

    np.testing.assert_allclose(moved(X), X, rtol=0, atol=1e-15)
    assert np.isfinite(jax.jacrev(moved)(X)).all()


@pytest.mark.parametrize("name", GAUSSIAN)
def test_moments_of_one_substep_match_samples(name):
    transition = TRANSITIONS[name]()
    gap = 0.3 / transition.substeps
    single = transition if transition.substeps == 1 else transition.with_steps(1)
    mean, factor = eqx.filter_jit(transition.moments)(X, jnp.asarray(1.0), jnp.asarray(1.0 + gap))
    draws = single.sample_many(jnp.tile(X, (100_000, 1)), jnp.asarray(1.0), jnp.asarray(1.0 + gap), key=jax.random.key(1))
    covariance = factor @ factor.T
    sd = jnp.sqrt(jnp.diagonal(covariance))
    assert (jnp.abs(draws.mean(0) - mean) <= 5 * sd / np.sqrt(100_000) + 1e-12).all()
    # Milstein's quadratic term adds h^2 / 2 of g g' squared: below two per cent of the variance at this gap
    spread = (draws - mean)[:, :, None] * (draws - mean)[:, None, :]
    slack = 5 * spread.std(0) / np.sqrt(100_000) + (0.02 * covariance if name.endswith("milstein") else 1e-12)
    # counts of jumps are matched to order h: the exact variance of a compound Poisson sum is the one matched
    assert (jnp.abs(spread.mean(0) - covariance) <= slack).all()


@pytest.mark.parametrize("name", [name for name, make in TRANSITIONS.items() if make().refined()])
def test_refined_is_the_same_scheme_at_half_the_step(name):
    """Twice the substeps, and nothing else has changed."""
    transition = TRANSITIONS[name]()
    fine = transition.refined()
    assert fine.substeps == 2 * transition.substeps
    assert jax.tree.structure(fine.with_steps(transition.substeps)) == jax.tree.structure(transition)
    assert fine.noise_shape(X)[0] - transition.noise_shape(X)[0] == transition.substeps


@pytest.mark.parametrize("name", COUNTING)
def test_counts_since_the_last_datum_are_poisson(name):
    """2 jumps per unit time, started anew at each datum: the frequencies of a gap of 0.7 after one of 0.5."""
    transition, n, rate = TRANSITIONS[name](), 50_000, 2.0 * 0.7
    before = transition.sample_many(jnp.tile(X, (n, 1)), 0.0, 0.5, key=jax.random.key(5))
    counts = transition.sample_many(before, 0.5, 1.2, key=jax.random.key(6))[:, 1]
    exact = np.exp(-rate) * np.cumprod([1.0, *(rate / k for k in range(1, 7))])
    seen = np.array([(counts == k).mean() for k in range(7)])
    assert (np.abs(seen - exact) < 5 * np.sqrt(exact * (1 - exact) / n)).all()


@pytest.mark.parametrize("name", EXACT)
def test_chapman_kolmogorov(name):
    transition = TRANSITIONS[name]()
    a, b, q = transition.discretise(0.0, 0.9)
    a1, b1, q1 = transition.discretise(0.0, 0.2)
    a2, b2, q2 = transition.discretise(0.2, 0.9)
    np.testing.assert_allclose(a, a2 @ a1, atol=1e-14)
    np.testing.assert_allclose(b, a2 @ b1 + b2, atol=1e-14)
    np.testing.assert_allclose(q, a2 @ q1 @ a2.T + q2, atol=1e-14)
