"""D4 in its short form, ten runs: recovery after a jump, and the error before it."""

import pytest

import filterlearn as fl
from examples import changing_world as d4


@pytest.mark.science
def test_the_learner_that_watches_its_surprise_recovers_first():
    rows, least = d4.table("jump"), d4.steady(d4.bound("jump"), "jump").mean()
    found = {}
    for name in ("Forgetting, tuned memory", "Monitored(Joint(ExtendedKalman()), kept=0)", "Joint(ExtendedKalman())"):
        errors, inside = d4.scores(*rows[name], "jump")
        found[name] = d4.steady(errors, "jump").mean() / least, d4.recovery(errors)
        print(name, *found[name], d4.steady(inside.mean(2), "jump").mean())
    forgetting, monitored, exact = found.values()
    assert monitored[1] < forgetting[1]
    assert monitored[0] <= forgetting[0]
    assert monitored[1] < exact[1]


@pytest.mark.science
@pytest.mark.parametrize("name", ["Joint(ExtendedKalman())", "LowRank(ExtendedKalman(), 8)"])
def test_a_neural_drift_is_learned_in_one_pass(name):
    """Most of what there is to gain over the start, as the true drift has it, on average over the seeds."""
    family = d4.drift_family()
    nothing, truth = (
        d4.neural(fl.ExtendedKalman(), each)[:, 0].mean() for each in (family(family.median), d4.neural_runs()[0])
    )
    ours = d4.neural(d4.NEURAL[name], family)[:, 0].mean()
    print(f"{name}: nothing learned {nothing:.4f}, ours {ours:.4f}, the true drift {truth:.4f}")
    assert ours - nothing > 0.8 * (truth - nothing)
