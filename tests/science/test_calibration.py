"""F2: simulation-based calibration."""

import pytest

from examples import calibration as f2


@pytest.mark.science
@pytest.mark.parametrize("name", ["NUTS", "SMC"])
def test_ranks_are_uniform_with_the_right_noise_only(name):
    """200 worlds; particle MCMC is in the example's own table."""
    right, wrong = (f2.row(name, scale) for scale in (1.0, f2.WRONG))
    print(right, wrong)
    assert min(right["p"].values()) > f2.LEAST
    assert min(wrong["p"].values()) < f2.LEAST
    assert "scale" in wrong["words"][0]
