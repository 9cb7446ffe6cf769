"""Laws of parameter dynamics: Gaussian semigroups, entry by entry."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from filterlearn import ChangePoint
from filterlearn.models.parameter_dynamics.base import Prior
from tests.cases import DYNAMICS

THETA = jnp.array([0.7, -0.4])
PRIOR = Prior(jnp.array([0.1, 0.2]), jnp.array([1.5, 0.8]))


@pytest.mark.parametrize("name", [name for name in DYNAMICS if DYNAMICS[name]().chances == 0])
def test_chapman_kolmogorov(name):
    """Two gaps are one: the means compose, and the first gap's variance passes through the slope of the second."""
    law = DYNAMICS[name]()
    middle, first = law.moments(THETA, 0.3, PRIOR)
    after, slope = jax.jvp(lambda th: law.moments(th, 0.8, PRIOR)[0], (middle,), (jnp.ones(2),))
    second = law.moments(middle, 0.8, PRIOR)[1]
    mean, sd = law.moments(THETA, 1.1, PRIOR)
    np.testing.assert_allclose(after, mean, rtol=1e-12)
    np.testing.assert_allclose(slope**2 * first**2 + second**2, sd**2, rtol=1e-12)


@pytest.mark.parametrize("name", DYNAMICS)
def test_no_time_is_the_identity_with_finite_gradients(name):
    law = DYNAMICS[name]()
    mean, sd = law.moments(THETA, jnp.zeros(()), PRIOR)
    np.testing.assert_allclose(mean, THETA, atol=1e-15)
    np.testing.assert_array_equal(sd, 0)
    slopes = jax.jacrev(lambda gap: law.moments(THETA, gap, PRIOR))(jnp.zeros(()))
    assert all(np.isfinite(slope).all() for slope in slopes)


@pytest.mark.parametrize("name", DYNAMICS)
def test_draws_have_the_moments(name):
    """Five standard errors of 20,000 draws, the fourth moments their own."""
    law, n = DYNAMICS[name](), 20_000
    noise = jax.random.normal(jax.random.key(0), (n, 2 + law.chances))
    draws = jax.vmap(lambda z: law.moved(THETA, 0.8, PRIOR, z))(noise)
    mean, factor = law.moments(THETA, 0.8, PRIOR)
    exact = factor @ factor.T if factor.ndim == 2 else jnp.diag(factor**2)
    apart = draws - mean
    squares = apart[:, :, None] * apart[:, None]
    assert (abs(apart.mean(0)) <= 5 * apart.std(0) / n**0.5 + 1e-12).all()
    assert (abs(squares.mean(0) - exact) <= 5 * squares.std(0) / n**0.5 + 1e-12).all()


def test_changes_come_at_their_rate():
    """The share that stays is exp(-rate gap), over two gaps as over one; what changes has the prior's law, all entries at
    once: five standard errors."""
    law, n = ChangePoint(0.5), 20_000
    one, two = jax.random.normal(jax.random.key(1), (2, n, 3))
    middle = jax.vmap(lambda z: law.moved(THETA, 0.3, PRIOR, z))(one)
    draws = jax.vmap(lambda theta, z: law.moved(theta, 0.8, PRIOR, z))(middle, two)
    stayed = (draws == THETA).all(1)
    share = np.exp(-0.5 * 1.1)
    assert abs(stayed.mean() - share) < 5 * (share * (1 - share) / n) ** 0.5
    assert (stayed == (draws == THETA).any(1)).all()
    changed = (draws[~stayed] - PRIOR.centre) / PRIOR.sd
    assert (abs(changed.mean(0)) < 5 / len(changed) ** 0.5).all()
    assert (abs((changed**2).mean(0) - 1) < 5 * (2 / len(changed)) ** 0.5).all()
