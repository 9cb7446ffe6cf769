"""A learned gain in its short form: a quarter of the series, a third of the steps."""

import pytest

from examples import kalman_net as e5


@pytest.mark.science
def test_a_learned_gain_is_as_good_as_the_kalman_filter():
    """Without training it is not; the covariance of a trained head is right to a tenth."""
    out = e5.table(300, {"training": 250, "validation": 50, "testing": 100})
    for name, row in out.items():
        print(name, row)
    most = min(out["Kalman"]["dB"] + e5.NEAR, out["Kalman, wrong noise"]["dB"] - e5.BETTER)
    assert out["learned"]["dB"] < most
    assert out["learned, with a head"]["dB"] < most
    assert abs(out["learned, with a head"]["NEES"] / 2 - 1) < 0.1
    assert out["untrained"]["dB"] > most
