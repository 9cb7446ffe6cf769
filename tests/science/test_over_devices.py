"""One filter over two devices is that of one; the checkpoint of two goes on with two."""

import pytest

from tests.devices import said_on_two

PARTED = """
import sys
import jax, numpy as np
jax.config.update("jax_enable_x64", True)
import filterlearn as fl
from tests.cases import linear_data, linear_model, over
from tests.streams.test_fleet import learner
mesh, data, key, path = over(2), linear_data(12), jax.random.key(1), f"{sys.argv[1]}/s.npz"
shares = lambda leaf: [part.data.shape for part in leaf.addressable_shards]
kinds = fl.Perturbed(), fl.Transform(), fl.Serial()
for filter in [*(fl.EnsembleKalman(40, kind) for kind in kinds), fl.ParticleFilter(40)]:
    one, two = (fl.run(each, linear_model(), data, key=key) for each in (filter, fl.OverDevices(filter, mesh)))
    assert shares(two.last.members if hasattr(two.last, "members") else two.last.points) == [(20, 2), (20, 2)]
    np.testing.assert_allclose(two.log_evidence, one.log_evidence, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(two.last.covariance, one.last.covariance, rtol=1e-10)
stream = fl.Session(fl.OverDevices(filter, mesh), linear_model(), key=key)
stream.observe(1.0, [0.1, 0.2])
stream.save(path)
again = fl.Session.load(path, fl.OverDevices(filter, mesh), linear_model())
assert np.array_equal(stream.observe(2.0, [0.3, 0.1]).mean, again.observe(2.0, [0.3, 0.1]).mean)
assert shares(again.belief.points) == [(20, 2), (20, 2)]
family, _ = learner()
told = []
for each in (fl.EnsembleKalman(40), fl.OverDevices(fl.EnsembleKalman(40), mesh)):
    stream = fl.Session(fl.Joint(each), family, key=key)
    told += [[stream.observe(float(k), [0.1, 0.2], inputs=[0.5]).parameters["shift"]["mean"] for k in range(1, 4)]]
assert shares(stream.belief.stacked.members) == [(20, 3), (20, 3)]
np.testing.assert_allclose(told[1], told[0], rtol=1e-12)
try:
    fl.OverDevices(fl.ParticleFilter(41), mesh).init(linear_model(), key=key)
except ValueError as error:
    print(error)
"""


@pytest.mark.science
def test_two_devices_are_one(tmp_path):
    """Half the members or particles each; the evidence to 1e-12, for four filters and a learner."""
    assert said_on_two(PARTED, tmp_path) == "filter: a size that 2 devices divide is needed, got 41\n"
