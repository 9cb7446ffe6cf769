"""A6 in its short form: the exact filter on all runs, the others on ten."""

import pytest

from examples import moving_regression as a6

ROWS = a6.table()


@pytest.mark.science
@pytest.mark.parametrize("name", ROWS)
def test_squared_error_over_the_exact_variance(name):
    *row, most = ROWS[name]
    ours, se = a6.ratio(a6.scores(*row, a6.SEEDS if name == "exact" else a6.SEEDS[:10]))
    print(f"{name}: {ours:.3f} +- {se:.3f}, at most {most}")
    assert ours < most
    if name == "exact":
        assert ours > 0.95


@pytest.mark.science
def test_a_constant_gain_wins_after_a_jump_and_loses_when_nothing_moves():
    out = a6.constant_against_falling(a6.SEEDS[:10])
    print(out)
    assert all(constant < falling for constant, falling in out["jump"].values())
    assert all(constant > falling for constant, falling in out["still"].values())
