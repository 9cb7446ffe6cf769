"""D1's exact reference in its short form: three seeds of 5,000 data."""

import numpy as np
import pytest

from examples import recursive_identification as d1


@pytest.mark.science
@pytest.mark.parametrize("name", d1.TABLE)
def test_mean_absolute_errors(name):
    last = np.array([d1.errors(name, seed)[1] for seed in d1.SEEDS[:3]])
    print(f"{name}: {last.mean(0)}, at most {d1.TABLE[name][1]}")
    assert (last.mean(0) < d1.TABLE[name][1]).all()
