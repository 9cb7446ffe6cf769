"""The profile interval by iterated filtering, against the exact one."""

import numpy as np
import pytest

from examples import iterated_filtering as profile


@pytest.mark.science
def test_the_profile_interval_is_the_exact_one():
    """To a quarter of the likelihood's sd, which is the interval's half width over 1.96."""
    best, low, high = profile.exact_interval()
    found = profile.found_interval()
    print((best, low, high), found)
    sd = (high - low) / (2 * 1.96)
    np.testing.assert_allclose([found.estimate, found.low, found.high], [best, low, high], atol=sd / 4)
    np.testing.assert_allclose(found.statistical_sd, sd, rtol=0.25)
