"""One data set of the partly seen Lorenz-63, against a reference of eight steps."""

import pytest

from examples import partly_seen_lorenz as b10


@pytest.mark.science
@pytest.mark.parametrize("name", ["unscented", "1,000 particles"])
def test_rho(name):
    row = b10.score(name, 0, fine=8)
    print(row)
    assert row["said"] or abs(row["euler"]) <= 1.0
    assert abs(row["mean"] - row["reference"]) < 0.5 * row["its sd"]
    assert row["covered"]
