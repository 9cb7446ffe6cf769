"""The demo's tracker looks at nothing that has not happened."""

import jax
import numpy as np

import filterlearn as fl
from filterlearn import datasets, rivals, volatility


def scores(data):
    out = fl.run(volatility.tracker(), volatility.family(), data, key=jax.random.key(0), save=lambda b, i: i.log_evidence)
    return np.asarray(out.saved)


def test_tomorrow_does_not_change_today():
    data = datasets.sp500()[0][:60]
    values = np.asarray(data.values).copy()
    values[40] = 1e6
    np.testing.assert_array_equal(scores(data)[:40], scores(fl.Dataset(data.times, values))[:40])


def test_riskmetrics_reference():
    """The published reference on days 1,001 to 5,030."""
    returns = np.asarray(datasets.sp500()[0].values[:, 0], float)
    assert abs(rivals.riskmetrics(returns).mean() + 1.315) < 1e-3


def test_newey_west_of_white_noise():
    noise = np.random.default_rng(0).normal(size=100_000)
    assert abs(rivals.newey_west(noise, 5) * np.sqrt(100_000) - 1) < 0.05
