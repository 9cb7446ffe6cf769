"""Alarms: their rate when nothing changes, and what they are for."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.integrate

import filterlearn as fl
from filterlearn.learners.monitored import _stakes
from filterlearn.protocol import SURPRISED
from tests.cases import hidden_family
from tests.laws.test_learners import hidden_data

RATE, STREAMS, LENGTH = 1e-3, 1000, 100


def test_stakes_have_mean_one():
    """Over a uniform u, to the quadrature's own error; and over two sensors, one of which tells."""
    for i in range(3):
        total, error = scipy.integrate.quad(lambda u, i=i: float(jnp.exp(_stakes(jnp.array([u, jnp.nan])))[i]), 0, 1)
        assert abs(total - 1) < 10 * error + 1e-8


def test_false_alarms_keep_to_their_rate():
    """1,000 streams from the model of the exact filter, theta from its prior and moving, two sensors: the share with an alarm
    within 100 data is at most rate x 100, within five standard errors; and there are alarms, so that the bound is at work."""
    drawn = [hidden_data(seed, LENGTH) for seed in range(100, 100 + STREAMS)]
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *drawn)
    learner = fl.Monitored(fl.Joint(fl.ExtendedKalman()), fl.Wager(RATE))
    flags = eqx.filter_vmap(lambda data: fl.run(learner, hidden_family(), data, save=lambda b, info: info.flags).saved)(
        stacked
    )
    share, most = np.mean(np.any(np.asarray(flags) & SURPRISED, axis=1)), RATE * LENGTH
    assert 0.1 * most < share < most + 5 * np.sqrt(most * (1 - most) / STREAMS)


@pytest.mark.parametrize("entry", [0, 1])
def test_a_change_is_noticed_and_learned_anew(entry):
    """theta leaves by six: the alarm comes within ten data, changes nothing by itself, and the learner that lets go predicts
    what follows better by fifty nats."""
    before, after = hidden_data(9, 200), hidden_data(10, 40)
    moved = after.values.at[:, 0].add(6.0 * after.inputs[:, entry])
    data = fl.Dataset(
        jnp.append(before.times, before.times[-1] + after.times),
        jnp.concatenate([before.values, moved]),
        jnp.concatenate([before.inputs, after.inputs]),
    )
    still = hidden_family(motion=fl.RandomWalk(jnp.asarray(0.03)))
    inside = fl.Joint(fl.ExtendedKalman())
    plain, flagged, wide = (
        fl.run(each, still, data) for each in (inside, fl.Monitored(inside), fl.Monitored(inside, kept=0.0))
    )
    assert (flagged.info.flags[200:210] & SURPRISED).any()
    np.testing.assert_array_equal(flagged.log_evidence, plain.log_evidence)
    assert wide.log_evidence.sum() > plain.log_evidence.sum() + 50


@pytest.mark.parametrize(
    "learner",
    [
        fl.Joint(fl.ExtendedKalman()),
        fl.Joint(fl.EnsembleKalman(50)),
        fl.Nested(fl.Kalman(), 2000),
        fl.RecursiveMaximumLikelihood(fl.Kalman(), fl.natural_gradient()),
        fl.LowRank(fl.Kalman(), 1),
        fl.Monitored(fl.Joint(fl.ExtendedKalman())),
    ],
    ids=["extended", "ensemble", "nested", "recursive", "low_rank", "monitored"],
)
def test_letting_go_of_everything_is_the_prior(learner):
    """Mean and covariance of Gaussians and ensembles, to rounding; the particles have them within five standard errors."""
    family, key = hidden_family(), jax.random.key(0)
    wide = learner.widened(family, fl.run(learner, family, hidden_data(9, 12), key=key).last, 0.0, key=key).parameters
    slack = 5 * (2 / 2000) ** 0.5 if isinstance(wide, fl.Particles) else 1e-6
    np.testing.assert_allclose(wide.mean, family.median, atol=slack)
    np.testing.assert_allclose(wide.covariance, np.diag(family.sd**2), atol=slack)
