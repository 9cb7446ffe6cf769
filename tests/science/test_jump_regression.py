"""F6: a drift, the rate of jumps and the law of their marks, learned together."""

import pytest

from examples import jump_regression as f6


@pytest.mark.science
def test_a_regression_with_jumps():
    """Ten data sets: at least six intervals of each kind cover (fewer has probability .0016 at .9), jumps are told as well as
    with the true parameters, and far better than untrained or by their share; a doubled rate is caught within 50 jumps."""
    found = [f6.regression(seed) for seed in range(10)]
    rows = [row for row, _ in found]
    for row in rows:
        print(row)
    for name in ("rate", "mean", "sd"):
        assert sum(row[f"{name} covered"] for row in rows) >= 6
    ours, best, untrained, constant = (
        sum(row[name] for row in rows) / len(rows) for name in ("Brier", "Brier oracle", "Brier untrained", "Brier constant")
    )
    assert ours - best < 0.02
    assert min(untrained, constant) - best > 0.05
    jumps, data = f6.caught(found[0][1], 1000, 2)
    print("caught after", jumps, "jumps,", data, "data")
    assert jumps <= 50
