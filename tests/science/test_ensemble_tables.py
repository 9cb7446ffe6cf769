"""The tables of Lorenz-63 and Lorenz-96 in their short form: the first three seeds."""

import numpy as np
import pytest

from examples import ensemble_tables as b


@pytest.mark.science
@pytest.mark.parametrize("name", b.TABLE)
def test_analysis_error(name):
    """Within the tolerance and two standard errors of a mean over three seeds."""
    system, make, reference, within = b.TABLE[name]
    ours, raw = np.array([b.score(system, make, seed) for seed in b.SEEDS[:3]]).T
    error = ours.std(ddof=1) / len(ours) ** 0.5
    print(f"{name}: {ours} against {reference}")
    assert abs(ours.mean() - reference) < within + 2 * error
    assert ours.max() < raw.mean() / 2
