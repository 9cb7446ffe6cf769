"""D8: the bank's evidence is that of a chain of settings, so its regret is bounded whatever the data."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import filterlearn as fl
from examples.fixed_share import LENGTH, SCALES, allowed, alone, best, level_family, streams, together, walking


def chain(evidence, share):
    """log p(y) of a chain of settings that is redrawn with probability `share` at each datum: the forward recursion."""
    logs, total = np.full(len(SCALES), -np.log(len(SCALES))), 0.0
    for column in evidence.T:
        step = np.logaddexp.reduce(logs + column)
        logs, total = logs + column - step, total + step
        logs = np.logaddexp(np.log1p(-share) + logs, np.log(share / len(SCALES)) if share else -np.inf)
    return total


@pytest.mark.parametrize("share", [0.0, 0.01, 0.3])
def test_evidence_and_regret(share):
    """The forward recursion to 1e-9 of itself, and the bound for every number of switches, to 1e-9 T."""
    values = jnp.asarray(streams())
    evidence, ours = np.asarray(jax.vmap(alone)(values)), np.asarray(jax.vmap(lambda v: together(v, share))(values))
    for value, row, each in zip(np.asarray(values), evidence, ours, strict=True):
        seen = row[:, ~np.isnan(value)]
        np.testing.assert_allclose(each, chain(seen, share), rtol=1e-9)
        if share:
            assert (each >= best(seen) - allowed(seen.shape[1], share) - 1e-9 * LENGTH).all()


def test_a_broken_setting_weighs_nothing_for_good():
    """As if it were not in the grid, and the others begin with its share."""
    bad = eqx.tree_at(
        lambda b: b.grid, fl.Bank(fl.Joint(fl.ExtendedKalman()), walking, SCALES, 0.1), SCALES.at[1].set(jnp.nan)
    )
    good = eqx.tree_at(lambda b: b.grid, bad, SCALES[jnp.array([0, 2, 3])])
    data = fl.Dataset(np.arange(float(LENGTH)), streams()[1])
    one, two = (fl.run(bank, level_family(), data) for bank in (bad, good))
    assert (one.beliefs.log_weights[:, 1] == -jnp.inf).all()
    assert (one.info.flags == 0).all()
    np.testing.assert_allclose(one.log_evidence[0], two.log_evidence[0] + np.log(3 / 4))  # the quarter that it had
    np.testing.assert_allclose(one.log_evidence[1:], two.log_evidence[1:], rtol=1e-9)
    for part in ("mean", "covariance"):
        ours, exact = (jax.vmap(lambda b, p=part: getattr(b.parameters, p))(out.beliefs) for out in (one, two))
        np.testing.assert_allclose(ours, exact, rtol=1e-9)
