"""F5: calibration while the stream goes on."""

import pytest

from examples import streaming_calibration as f5


@pytest.mark.science
def test_the_exact_learner_is_calibrated_in_a_thousand_worlds():
    """Bonferroni over nine ranks; a walk twice as fast as believed is found out at every time."""
    found, wrong = f5.row("exact", f5.EXACT, f5.WORLDS), f5.row("wrong", f5.EXACT, f5.WORLDS, truth=f5.family(0.2))
    print(found, wrong)
    assert min(found["p"].values()) > f5.LEAST / len(found["p"])
    assert found["words"] == []
    assert all(any(f"at {k}: " in line and "too narrow" in line for line in wrong["words"]) for k in f5.AT[1:])
