"""C4 in its short form: one data set."""

import pytest

from examples import particle_proposals as c4


@pytest.mark.science
def test_the_learned_proposal_reaches_the_locally_optimal_one():
    rows = {row["name"]: row["gap"] for row in c4.gaps(0, ("soft", "stop_gradient"))}
    print(rows)
    assert rows["soft"] > -0.1
    assert rows["stop_gradient"] > -1
    assert rows["bootstrap"] < -0.5
