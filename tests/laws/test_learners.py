"""Laws of learners: A6, and the sum of their parts."""

import jax
import numpy as np
import pytest

import filterlearn as fl
from tests.cases import LEARNERS, regression_family


def regression(seed, length):
    rng = np.random.default_rng(seed)
    inputs = rng.normal(size=(length, 3))
    theta = rng.normal(size=3) + np.cumsum(0.1 * rng.normal(size=(length, 3)), 0)
    return fl.Dataset(np.arange(float(length)), (inputs * theta).sum(1) + rng.normal(size=length), inputs), theta


@pytest.mark.parametrize("name", LEARNERS)
def test_tracks_a_moving_regression(name):
    """Squared error over the exact posterior variance, 4 streams of 2,000 steps (CI form of A6)."""
    make, bound = LEARNERS[name]
    exact, family = fl.Joint(fl.ExtendedKalman()), regression_family()
    save = lambda b, i: (b.parameters.mean, b.parameters.covariance.trace())  # noqa: E731
    error = variance = 0.0
    for seed in range(4):
        data, theta = regression(seed, 2000)
        means = fl.run(make(), family, data, key=jax.random.key(seed), save=save).saved[0]
        variance += np.asarray(fl.run(exact, family, data, save=save).saved[1])[500:].mean()
        error += ((np.asarray(means) - theta) ** 2).sum(1)[500:].mean()
    # autocorrelation time of about 10 steps: 4 x 150 independent errors of 3 entries, relative se .033
    assert error / variance < bound + 5 * 0.033
    assert error / variance > 1 - 5 * 0.033


@pytest.mark.parametrize("name", LEARNERS)
def test_streams_saves_and_resumes_to_the_bit(name, tmp_path):
    make, family = LEARNERS[name][0], regression_family()
    data, _ = regression(9, 12)
    straight = fl.Session(make(), family, key=jax.random.key(3))
    halved = fl.Session(make(), family, key=jax.random.key(3))
    for k in range(12):
        datum = float(data.times[k]), np.asarray(data.values[k]), np.asarray(data.inputs[k])
        if k == 6:
            halved.save(tmp_path / "stream.npz")
            halved = fl.Session.load(tmp_path / "stream.npz", make(), family)
        one, two = straight.observe(*datum), halved.observe(*datum)
        assert one.log_evidence == two.log_evidence
    assert one.parameters["theta"]["quantiles"].shape == (3, 3)
    np.testing.assert_array_equal(one.parameters["theta"]["mean"], two.parameters["theta"]["mean"])
