"""C1, C2 and C3 in their short form: differentiable particle filters on a linear model."""

import os

import numpy as np
import pytest

from examples import particle_gradients as c

SETS = 3


@pytest.mark.science
def test_the_evidence():
    """Plain about as measured on many data sets, transport not below it, at three coefficients."""
    names = ("multinomial", "systematic", "optimal_transport")
    rows = [row for seed in range(SETS) for row in c.bias_of_evidence(seed, names)]
    for level, about in zip(c.LEVELS, (-0.43, -0.37, -0.39), strict=True):
        here = [row for row in rows if row["level"] == level]
        means = {name: np.array([np.mean(row["values"]) for row in here if row["name"] == name]) for name in names}
        plain = means["systematic"]
        print(level, {name: values.mean() for name, values in means.items()})
        assert abs(plain.mean() - about) < 0.03 + 3 * plain.std(ddof=1) / SETS**0.5
        assert (means["optimal_transport"] - means["multinomial"]).mean() > -0.02


@pytest.mark.science
def test_derivatives_are_those_of_the_map():
    """To 1 % against differences at a fixed key."""
    rows = c.differences(0)
    print(rows)
    assert all(row["values"] < 0.01 for row in rows)


@pytest.mark.science
def test_ascents_end_near_the_maximum():
    """By Fisher's identity over drawn paths, 25 points: root mean square distance of .06 at most."""
    off = np.array([row["values"] for row in c.ascents("fisher", range(SETS))])
    print(off)
    assert np.sqrt((off**2).mean()) < 0.06


@pytest.mark.science
@pytest.mark.skipif("FILTERLEARN_DATA" not in os.environ, reason="FILTERLEARN_DATA is not set: the returns of GBP/USD")
def test_a_volatility_is_learned_by_particles():
    """After ten passes of 100 points the exact evidence is within a nat of its maximum (at the true parameters it is 3 / 2
    below on average); at the start it is 58 below."""
    (row,) = c.learned(0)
    print(row)
    assert 0 <= row["values"] < 1


@pytest.mark.science
@pytest.mark.skipif("FILTERLEARN_DATA" not in os.environ, reason="FILTERLEARN_DATA is not set: the returns of GBP/USD")
def test_the_path_alone_fails_where_the_noise_is_learned():
    """The derivative by a volatility's noise: far off along the path, within four standard errors with the score, and
    by Fisher's identity nearer, with a third of the noise."""
    errors = {row["name"]: np.array(row["values"]) for row in c.volatility(0)}
    off = {name: each.mean() / (each.std(ddof=1) / len(each) ** 0.5) for name, each in errors.items()}
    print({name: each.mean() for name, each in errors.items()}, off)
    assert off["systematic"] > 8
    assert abs(off["stop_gradient"]) < 4
    spread = {name: each.std(ddof=1) for name, each in errors.items()}
    assert abs(errors["fisher, online"].mean()) < 0.25 * abs(errors["systematic"].mean())
    assert spread["fisher, online"] < 0.5 * spread["stop_gradient"]
