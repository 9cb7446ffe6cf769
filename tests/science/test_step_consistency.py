"""Step-size consistency in its short form: half the training."""

import pytest

from examples import step_consistency as e12


@pytest.mark.science
def test_a_coarse_step_is_told_and_a_fine_one_holds():
    """Both learn, which no training misses; only one has learned an equation."""
    coarse, fine = (e12.row(name, 0, 300) for name in ("Euler, 1 step", "Runge-Kutta, 4 steps"))
    print(coarse, fine)
    assert coarse["warned"]
    assert coarse["change"] > 0.05
    assert not fine["warned"]
    assert fine["change"] < 0.05
    assert max(coarse["coarse"], fine["coarse"]) < 2 < fine["untrained"]
