"""E14: the evidence of a published epidemic model, in its short form: the smaller town."""

import math
import os

import pytest

from examples import measles

needs_data = pytest.mark.skipif("FILTERLEARN_DATA" not in os.environ, reason="FILTERLEARN_DATA is unset: measles needed")


@needs_data
@pytest.mark.science
def test_the_evidence_is_the_published_one():
    """Of Mold, five keys of 200 particles; with the transmission rate R0 (gamma + mu), of no step, it is missed."""
    target, p = measles.PUBLISHED["Mold"], measles.published("Mold")
    levels = measles.score("Mold", 200)
    daily = (p["gamma"] + p["mu"]) * measles.DAY
    (wrong,) = measles.score("Mold", 200, keys=1, R0=p["R0"] * daily / -math.expm1(-daily))
    print(levels, measles.log_mean_exp(levels), "with the other rate", wrong)
    assert abs(measles.log_mean_exp(levels) - target) < 3
    assert wrong < target - 3
