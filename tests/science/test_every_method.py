"""F1: every method on the Nile and on the partly seen Lorenz-63, against quadrature."""

import pytest

from examples import every_method as example


@pytest.mark.science
@pytest.mark.parametrize("problem", example.PROBLEMS)
def test_every_method_finds_the_posterior(problem):
    for name, method in example.methods(problem).items():
        for row in example.score(problem, name, method):
            print(row)
            if name in example.EXACT:
                assert abs(row["mean"]) < 5 * row["mean error"], row
                assert abs(row["sd"]) < 5 * row["sd error"], row
                assert row["R-hat"] < 1.01, row
            else:
                assert abs(row["mean"]) < 0.25, row
                assert abs(row["sd"]) < 0.2, row
