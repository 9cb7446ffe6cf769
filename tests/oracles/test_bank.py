"""D8: the bank's evidence is that of a chain of settings, so its regret is bounded whatever the data."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest

import filterlearn as fl
from filterlearn import datasets
from tests.cases import walking

SCALES, LENGTH = jnp.array([0.02, 0.1, 0.5, 2.0]), 100


def level_family():
    """y = theta + e, theta a random walk."""

    def build(p):
        still = fl.LinearDiscrete([[0.0]], [[0.0]])
        return fl.StateSpaceModel(fl.Gaussian([0.0], 0.0), still, fl.LinearGaussianObservation([[0.0]], [[1.0]], p["theta"]))

    return fl.ModelFamily(build, {"theta": fl.Parameter(dist.Normal(jnp.zeros(1), 1.0), fl.RandomWalk(0.1))})


def streams():
    """200 of 100 data: noises of any tail, walks, waves, alternating blocks, and pieces of the Nile's flow; some missing."""
    rng, t = np.random.default_rng(0), np.arange(LENGTH)
    nile = np.asarray(datasets.nile().values)[:, 0]
    made = []
    for k in range(40):
        made.append(rng.standard_t(1 + k % 4, LENGTH))
        made.append(np.cumsum(rng.normal(size=LENGTH)) * 0.05 * (k + 1))
        made.append((k + 1) * np.sin(t / (1 + k)))
        made.append(np.where(t // (2 + k % 20) % 2, 5.0, -5.0) * rng.choice([0.1, 1.0, 10.0], LENGTH))
        made.append(np.roll((nile - nile.mean()) / nile.std(), k) * (1 + k / 4))
    values = np.array(made)
    values[::7, 30:40] = np.nan
    return values


def alone(values):
    """Log evidence of each setting by itself, `(K, T)`."""
    family, data = level_family(), fl.Dataset(np.arange(float(LENGTH)), values)
    save = lambda belief, info: info.log_evidence  # noqa: E731
    one = lambda scale: fl.run(fl.Joint(fl.ExtendedKalman()), walking(family, scale), data, save=save).saved  # noqa: E731
    return jax.vmap(one)(SCALES)


def together(values, share):
    data = fl.Dataset(np.arange(float(LENGTH)), values)
    return fl.log_evidence(fl.Bank(fl.Joint(fl.ExtendedKalman()), walking, SCALES, share), level_family(), data)


def chain(evidence, share):
    """log p(y) of a chain of settings that is redrawn with probability `share` at each datum: the forward recursion."""
    logs, total = np.full(len(SCALES), -np.log(len(SCALES))), 0.0
    for column in evidence.T:
        step = np.logaddexp.reduce(logs + column)
        logs, total = logs + column - step, total + step
        logs = np.logaddexp(np.log1p(-share) + logs, np.log(share / len(SCALES)) if share else -np.inf)
    return total


def best(evidence):
    """The largest evidence of any sequence of settings with 0, 1, ... switches."""
    found = np.full((evidence.shape[1], len(SCALES)), -np.inf)
    found[0] = evidence[:, 0]
    for column in evidence.T[1:]:
        ordered = np.sort(found, axis=1)
        others = np.where(found == ordered[:, -1:], ordered[:, -2:-1], ordered[:, -1:])  # the best of the other settings
        found[1:] = np.maximum(found[1:], others[:-1])
        found += column
    return found.max(1)


@pytest.mark.parametrize("share", [0.0, 0.01, 0.3])
def test_evidence_and_regret(share):
    """The forward recursion to 1e-9 of itself, and the bound for every number of switches, to 1e-9 T."""
    values = jnp.asarray(streams())
    evidence, ours = np.asarray(jax.vmap(alone)(values)), np.asarray(jax.vmap(lambda v: together(v, share))(values))
    for value, row, each in zip(np.asarray(values), evidence, ours, strict=True):
        seen = row[:, ~np.isnan(value)]
        np.testing.assert_allclose(each, chain(seen, share), rtol=1e-9)
        if share:
            k, switches = len(SCALES), np.arange(seen.shape[1])
            cost = np.log(k) + switches * np.log(k / share) - switches[::-1] * np.log(1 - share + share / k)
            assert (each >= best(seen) - cost - 1e-9 * LENGTH).all()


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
