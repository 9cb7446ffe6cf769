"""An ensemble's predictions in their short form: the pelts, and two paths of Lotka-Volterra."""

import os

import numpy as np
import pytest

from examples import lynx_and_hare as e9

needs_data = pytest.mark.skipif(
    "FILTERLEARN_DATA" not in os.environ, reason="FILTERLEARN_DATA is unset: lynx_hare.csv needed"
)


@pytest.mark.science
@pytest.mark.parametrize(("name", "seeds"), [pytest.param("pelts", (1,), marks=needs_data), ("Lotka-Volterra", (1, 2, 3, 4))])
def test_an_ensemble_beats_its_members_and_covers(name, seeds):
    """By .1 nat a row, its 90 % intervals holding 85 to 95 %; what was not trained is below a random walk."""
    found = [e9.row(name, seed, ways=("plain",)) for seed in seeds]
    print(found)
    walk = np.mean([each["walk"] for each in found])
    member, ensemble, inside = np.mean([each["plain"] for each in found], axis=0)
    assert ensemble > member + 0.1
    assert ensemble > walk
    assert 0.85 < inside < 0.95
    assert e9.row(name, seeds[0], steps=0, ways=("plain",))["plain"][1] < walk - 1
