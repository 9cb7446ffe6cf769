"""Sporadic readings in their short form: 800 series, fewer steps."""

import pytest

from examples import sporadic_levels


@pytest.mark.science
def test_a_learned_sde_is_as_good_as_the_truth():
    """Within .02 nat of the exact filter at the true parameters, where what was not trained and what is trivial are not."""
    found = sporadic_levels.row(1, count=800, steps=300)
    print(found)
    least = found["floor"]["nll"] + 0.02
    assert found["learned"]["nll"] < least < min(found["untrained"]["nll"], found["trivial"]["nll"])
