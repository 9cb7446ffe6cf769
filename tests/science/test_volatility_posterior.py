"""F4 in its short form: the first 200 returns, half the draws."""

import os

import pytest

from examples import volatility_posterior as f4

needs_data = pytest.mark.skipif("FILTERLEARN_DATA" not in os.environ, reason="FILTERLEARN_DATA is unset: GBP/USD file needed")


@pytest.mark.science
@needs_data
def test_six_methods_have_one_posterior():
    """Every mean within half a posterior sd of SMC on the exact evidence, which the online ones meet within a quarter."""
    out = f4.rows(most=200, share=0.5, size=600)
    assert all(row["off"] < f4.MOST for row in out.values())
    assert all(out[name]["off"] < f4.MOST / 2 for name in f4.LEARNERS)
