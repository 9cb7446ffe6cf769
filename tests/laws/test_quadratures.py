"""Laws of sigma-point rules: monomials up to their degree are integrated exactly."""

import itertools

import jax.numpy as jnp
import numpy as np
import pytest

import filterlearn as fl
from tests.cases import QUADRATURES


def moment(power):
    """E z^p of a standard normal."""
    return 0.0 if power % 2 else float(np.prod(np.arange(power - 1, 0, -2)))


@pytest.mark.parametrize("n", [1, 2, 3])
@pytest.mark.parametrize("name", QUADRATURES)
def test_monomials_are_exact(name, n):
    make, degree = QUADRATURES[name]
    points, weights, spread = make().points(n, jnp.zeros(()).dtype)
    for powers in itertools.product(range(degree + 1), repeat=n):
        if sum(powers) <= degree:
            exact = np.prod([moment(p) for p in powers])
            np.testing.assert_allclose(weights @ jnp.prod(points ** jnp.array(powers), axis=1), exact, atol=1e-12)
    np.testing.assert_allclose(points.T @ (spread[:, None] * points), jnp.eye(n), atol=1e-12)


def test_beta_weighs_the_centre_in_covariances_only():
    """The kurtosis of a Gaussian square: Var z^2 = 2 with beta = 2, alpha small (Wan & van der Merwe)."""
    points, means, spread = fl.Unscented(1e-2, 2.0, 0.0).points(1, jnp.zeros(()).dtype)
    square = points[:, 0] ** 2 - means @ points[:, 0] ** 2
    assert abs(spread @ square**2 - 2.0) < 1e-3


def test_too_many_points_are_refused():
    with pytest.raises(ValueError, match=r"order: 5\^6 points"):
        fl.GaussHermite(5).points(6, jnp.zeros(()).dtype)
