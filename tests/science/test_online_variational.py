"""A7, D1 and D2 in their short forms: all seeds, one seed of 5,000 data, and three seeds of 150 data."""

import numpy as np
import pytest

from examples import chaotic_network as d2
from examples import variational_identification as d1
from examples import variational_smoothing as a7


@pytest.mark.science
@pytest.mark.parametrize("name", ["full rank", "mean field", "kernel ridge"])
def test_the_smoother_is_exact(name):
    """And is not without the fit."""
    scores = np.array([a7.score(name, seed) for seed in a7.SEEDS])
    print(f"{name}: {scores.max(0)}, at most .05 and .02")
    assert (scores.max(0) < (0.05, 0.02)).all()
    assert a7.score("not fitted", 0)[0] > 1


@pytest.mark.science
def test_learns_as_exact_recursive_maximum_likelihood():
    ours, exact = (d1.errors(name, d1.SEEDS[0]) for name in ("variational", "exact"))
    print(f"variational {ours}, exact {exact}, at most 1.25 times that")
    assert (ours < 1.25 * exact).all()


@pytest.mark.science
def test_the_chaotic_network():
    """Below the ensemble on every seed; the data alone are not."""
    scores = {
        name: np.array([d2.score(name, seed, 150) for seed in d2.SEEDS[:3]]) for name in ("data", "ensemble", "full rank")
    }
    print({name: each.round(4) for name, each in scores.items()}, f"at most {d2.MOST}")
    assert scores["full rank"].mean() < d2.MOST
    assert (scores["full rank"] < scores["ensemble"]).all()
    assert scores["data"].mean() > d2.MOST
