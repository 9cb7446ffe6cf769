"""An ensemble's predictions in their short form: the pelts."""

import os

import pytest

from examples import lynx_and_hare as e9


@pytest.mark.science
@pytest.mark.skipif("FILTERLEARN_DATA" not in os.environ, reason="FILTERLEARN_DATA is unset: lynx_hare.csv needed")
def test_an_ensemble_beats_its_members_and_covers():
    """By .1 nat a row, its 90 % intervals holding 85 to 95 %; what was not trained is far below a random walk."""
    found = e9.row("pelts", 1)
    print(found)
    member, ensemble, inside = found["plain"]
    assert ensemble > member + 0.1
    assert ensemble > found["walk"]
    assert 0.85 < inside < 0.95
    assert e9.row("pelts", 1, steps=0)["plain"][1] < found["walk"] - 1
