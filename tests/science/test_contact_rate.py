"""D5: a contact rate that moves, smoothed after one pass over the counts of an epidemic."""

import time

import numpy as np
import pytest

from examples import contact_rate as d5


@pytest.mark.science
def test_the_rate_is_learned_and_its_band_is_honest():
    """All 20 seeds; one run, compiled, in less than 10 seconds."""
    d5.score(1000)
    start = time.perf_counter()
    rows = [d5.score(seed) for seed in d5.SEEDS]
    took = (time.perf_counter() - start) / len(rows)
    names = "smoothed", "smoothed covered", "filtered"
    error, covered, before = (np.mean([row[name] for row in rows]) for name in names)
    print(f"error {error:.4f}, filtered {before:.4f}, covered {covered:.3f}, {took:.2f} seconds")
    assert error < 0.02
    assert error < 0.7 * before
    assert 0.90 < covered < 0.99
    assert took < 10
