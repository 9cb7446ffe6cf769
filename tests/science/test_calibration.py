"""F2: simulation-based calibration."""

import pytest

from examples import calibration as f2


@pytest.mark.science
@pytest.mark.parametrize("name", ["NUTS", "SMC"])
def test_ranks_are_uniform_with_the_right_noise(name):
    """200 worlds; the other methods are in the example's own table."""
    found = f2.row(name, 1.0)
    print(found)
    assert min(found["p"].values()) > f2.LEAST


@pytest.mark.science
def test_a_wrong_noise_is_found_out():
    found = f2.row("SMC", f2.WRONG)
    print(found)
    assert min(found["p"].values()) < f2.LEAST
    assert "scale" in found["words"][0]
