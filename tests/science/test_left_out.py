"""F3: three models of the Nile, by what they predict."""

import pytest

import filterlearn as fl
from examples import left_out as f3


@pytest.mark.science
def test_models_are_compared_by_what_they_predict():
    """The still level loses by more than two standard errors under every score; 95 % of Pareto k are good on exact terms."""
    pytest.importorskip("statsmodels")
    table = list(f3.rows(f3.compared(fl.NUTS(300, 500, 2))))
    for row in table:
        print(row)
        assert row["good_k"] >= f3.SHARE or row["score"] != "left out"
        if row["model"] == "level stays":
            assert abs(row["difference"]) > 2 * row["difference_se"]
