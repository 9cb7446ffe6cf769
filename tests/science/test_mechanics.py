"""A learned mechanics keeps its energy."""

import pytest

from examples import mechanics as e8


@pytest.mark.science
def test_energy_stays_over_a_hundred_periods():
    """Below 1 % by symplectic steps of the true drift and the learned one, which others miss, untrained weights too."""
    found = e8.rows(0)
    print(found)
    kept = [found.pop(name) for name in ("the true drift, Symplectic", "HamiltonianDrift, Symplectic")]
    assert max(kept) < 0.01
    assert min(found.values()) > 0.01
