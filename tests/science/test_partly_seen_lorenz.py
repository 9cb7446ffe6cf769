"""One data set of the partly seen Lorenz-63, against a reference of eight steps; NUTS draws what quadrature says."""

import jax
import numpy as np
import pytest

from examples import partly_seen_lorenz as b10


@pytest.mark.science
@pytest.mark.parametrize("name", ["unscented", "ensemble of 100", "1,000 particles"])
def test_rho(name):
    row = b10.score(name, 0, fine=8)
    print(row)
    assert row["said"] or abs(row["euler"]) <= 1.0
    assert abs(row["mean"] - row["reference"]) < 0.5 * row["its sd"]
    assert row["covered"]


@pytest.mark.science
def test_nuts_draws_from_the_posterior_of_the_quadrature():
    """Within five standard errors of a mean over 100 independent draws, fewer than the chains' effective 600."""
    rho, weights, steps = b10.posterior("unscented", b10.series(0), jax.random.key(0), steps=2)
    (mean, sd), draws = b10.moments(rho, weights), b10.drawn("unscented", 0, steps)
    print(draws.mean(), mean)
    assert abs(draws.mean() - mean) < 0.5 * sd
    assert np.isclose(draws.std(), sd, rtol=5 / np.sqrt(200))
