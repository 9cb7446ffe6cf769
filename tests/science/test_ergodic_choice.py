"""The choice among ergodic SDEs, in full."""

import pytest

from examples import ergodic_choice as e11


@pytest.mark.science
def test_criteria_in_stages_choose_the_truth():
    """In 85 of 100 paths, more often than Akaike's; a weak term more often than log n alone, by 2.5 standard errors."""
    found = e11.right("a x", 1)
    assert found["in stages"].sum() >= 85
    assert found["Akaike"].sum() < found["in stages"].sum()
    weak = e11.right("a x + b sin 2x", 1)
    apart = weak["in stages"].astype(float) - weak["log n"]
    assert apart.mean() > 2.5 * apart.std() / len(apart) ** 0.5
