"""Paths and forecasts of a real series, against quadrature over the parameters."""

import jax
import numpy as np
import pytest

import filterlearn as fl
from examples import nile_forecast


@pytest.mark.science
def test_levels_and_flows_to_come_are_those_of_quadrature():
    misses, inside = nile_forecast.scores(*nile_forecast.fitted())
    print("Monte Carlo errors", np.round(misses, 2), "inside", inside)
    assert np.abs(misses).max() < 5
    assert inside >= 6  # of ten flows in 90 % bands, fewer once in 600 were they independent


@pytest.mark.science
def test_half_the_noise_is_told():
    """With paths and flows of the draws whose noise is halved the score fails."""
    tree, whole = nile_forecast.fitted(method=fl.NUTS(200, 250, 4))
    tree["posterior"]["noise"] = 0.5 * tree["posterior"]["noise"]
    key, family = jax.random.key(1), nile_forecast.family()
    wrong = fl.with_paths(
        tree, family, whole[:90], nile_forecast.KALMAN, fl.GaussianPaths(nile_forecast.KALMAN, 1), draws=250, key=key
    )
    misses, _ = nile_forecast.scores(wrong, whole)
    assert np.abs(misses).max() > 5
