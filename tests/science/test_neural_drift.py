"""D6 in its short form: one seed, the offline fit on less than its way."""

import pytest

from examples import neural_drift as d6


@pytest.mark.science
def test_one_pass_is_as_good_as_the_offline_fit():
    """Within 5 % of it, and within 10 % of the true drift; what was not learned is far below."""
    found = d6.row(0, steps=300)
    print(found)
    assert found["online"] > 0.95 * found["offline"] > 0
    assert found["online"] > 0.9 * found["truth"]
    assert max(found["untrained"], found["still"]) < 0
