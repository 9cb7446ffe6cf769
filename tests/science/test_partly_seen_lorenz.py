"""One data set of the partly seen Lorenz-63, against a reference of eight steps; NUTS draws what quadrature says."""

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
    row, draws = b10.score("unscented", 0, fine=8), b10.drawn("unscented", 0, 1)
    print(draws.mean(), row["mean"])
    assert abs(draws.mean() - row["mean"]) < 0.5 * row["sd"]
    assert np.isclose(draws.std(), row["sd"], rtol=5 / np.sqrt(200))
