"""Stability by construction in its short form: a pendulum of two links, a third of the steps."""

import pytest

from examples import stable_pendulum as e6


@pytest.mark.science
def test_what_is_stable_by_construction_stays_so_and_learns():
    """V falls at 10,000 states within 1e-6, paths stay bounded, and the distance is below that of staying where it is, and
    within a factor of two of the plain network's, which untrained weights miss."""
    drifts = e6.drifts(2, 0)
    plain, stable = (e6.trained(drifts[name], 2, 0, 1000) for name in ("NetworkDrift", "LyapunovDrift"))
    (distance, size), (reference, _) = e6.rolled(stable, 2, 0), e6.rolled(plain, 2, 0)
    rest = e6.rolled(e6.still, 2, 0)[0]
    violation = float(e6.worst(stable, 2 * e6.box(2, e6.STATES, 2000)))
    print(distance, size, reference, rest, violation)
    assert violation <= 1e-6
    assert size < 10
    assert distance < min(rest, 2 * reference) < e6.rolled(drifts["LyapunovDrift"], 2, 0)[0]
