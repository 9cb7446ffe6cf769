"""The continuous recurrent unit and its rival, 300 steps each."""

import pytest

from examples import recurrent_unit as e4


@pytest.mark.science
def test_the_unit_is_better_than_a_network_that_is_told_the_gaps():
    """In density, with fewer weights, and no worse in squared error; untrained it is worse than the mean."""
    out = e4.table()
    for name, row in out.items():
        print(name, row)
    ours, rival = out["continuous recurrent unit"], out["recurrent network"]
    assert ours["loss"] < rival["loss"]
    assert ours["error"] < 1.02 * rival["error"]
    assert ours["weights"] < rival["weights"]
    assert out["continuous recurrent unit, untrained"]["loss"] > out["the mean"]["loss"] > ours["loss"]
