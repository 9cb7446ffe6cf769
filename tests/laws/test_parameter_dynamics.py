"""Laws of parameter dynamics: Gaussian semigroups, entry by entry."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.cases import DYNAMICS

THETA, CENTRE = jnp.array([0.7, -0.4]), jnp.array([0.1, 0.2])


@pytest.mark.parametrize("name", DYNAMICS)
def test_chapman_kolmogorov(name):
    """Two gaps are one: the means compose, and the first gap's variance passes through the slope of the second."""
    law = DYNAMICS[name]()
    middle, first = law.moments(THETA, 0.3, CENTRE)
    after, slope = jax.jvp(lambda th: law.moments(th, 0.8, CENTRE)[0], (middle,), (jnp.ones(2),))
    second = law.moments(middle, 0.8, CENTRE)[1]
    mean, sd = law.moments(THETA, 1.1, CENTRE)
    np.testing.assert_allclose(after, mean, rtol=1e-12)
    np.testing.assert_allclose(slope**2 * first**2 + second**2, sd**2, rtol=1e-12)


@pytest.mark.parametrize("name", DYNAMICS)
def test_no_time_is_the_identity_with_finite_gradients(name):
    law = DYNAMICS[name]()
    mean, sd = law.moments(THETA, jnp.zeros(()), CENTRE)
    np.testing.assert_allclose(mean, THETA, atol=1e-15)
    np.testing.assert_array_equal(sd, 0)
    slopes = jax.jacrev(lambda gap: law.moments(THETA, gap, CENTRE))(jnp.zeros(()))
    assert all(np.isfinite(slope).all() for slope in slopes)
