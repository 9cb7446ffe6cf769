"""A fleet is its sessions, side by side: whoever comes and goes, on one device or two."""

import re

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest

import filterlearn as fl
from tests.cases import PARTED_FILTERS, driven_model, linear_model
from tests.devices import said_on_two

KEY, NAN, INF = jax.random.key(6), float("nan"), float("inf")


def learner():
    """A joint filter of a family, the list that grows with each trace of it, and its inputs."""
    traces = []

    def build(p):
        traces.append(1)
        return eqx.tree_at(lambda m: m.initial.mean, driven_model(), jnp.array([p["shift"], 0.0]))

    return fl.ModelFamily(build, {"shift": fl.Parameter(dist.Normal(0.3, 0.1), fl.RandomWalk(0.01))}), traces


def stream(rng, names):
    """Six ticks, at each of which some of the series have a datum; one is late, and one is missing in part."""
    for k in range(6):
        here = [name for name in names if rng.uniform() < 0.7] or [names[0]]
        times = k + rng.uniform(size=len(here))
        values = rng.normal(size=(len(here), 2))
        values[0, 0] = NAN
        yield here, np.where(rng.uniform(size=len(here)) < 0.1, 0.0, times), values, rng.normal(size=(len(here), 1))


def test_each_series_is_the_session_with_its_key():
    """Also those that come later, into the place of one that went, with random numbers of its own."""
    family, algorithm = learner()[0], fl.Joint(fl.EnsembleKalman(8))
    fleet, alone = fl.Fleet(algorithm, family, 5, key=KEY), {}
    rng, came = np.random.default_rng(0), 0
    for coming, going in ((list("abcd"), []), (["e", "f"], ["b"]), (["b"], ["a", "e"])):
        fleet.remove(going)
        fleet.add(coming)
        for name in coming:
            alone[name] = fl.Session(algorithm, family, key=jax.random.fold_in(KEY, came))
            came += 1
        for names, times, values, inputs in stream(rng, sorted(fleet.names)):
            reports = fleet.observe(names, times, values, inputs)
            for k, name in enumerate(names):
                expected, report = alone[name].observe(times[k], values[k], inputs[k]), reports[name]
                np.testing.assert_allclose(report.mean, expected.mean, rtol=1e-9, atol=1e-12)
                np.testing.assert_allclose(report.covariance, expected.covariance, rtol=1e-9, atol=1e-12)
                np.testing.assert_allclose(report.log_evidence, expected.log_evidence, rtol=1e-9, atol=1e-12)
                for part, told in expected.parameters["shift"].items():
                    np.testing.assert_allclose(report.parameters["shift"][part], told, rtol=1e-9)
                assert (report.flags, report.time) == (expected.flags, expected.time)
        assert len(fleet) == len(fleet.names) <= 5
    assert len(reports) == len(list(reports)) == len(reports.mean)
    assert fleet.count("d") == alone["d"].count


def test_nothing_is_traced_again():
    family, traces = learner()
    fleet = fl.Fleet(fl.Joint(fl.ExtendedKalman()), family, 4, key=KEY)
    for names in (["a", "b"], ["c"]):
        fleet.add(names)
        fleet.observe(names, [1.0] * len(names), [[0.1, 0.2]] * len(names), [[0.0]] * len(names))
        count = len(traces) if len(names) == 2 else count
    fleet.remove(["a"])
    fleet.observe(["c", "b"], [2.0, 2.0], [[0.1, 0.2]] * 2, [[0.0]] * 2)
    assert len(traces) == count > 0


def fleet_of(names, size=3, **given):
    fleet = fl.Fleet(fl.Kalman(), linear_model(), size, key=KEY, **given)
    fleet.add(names)
    return fleet


def test_what_is_wrong_is_refused_row_by_row():
    fleet = fleet_of(["a", "b", "c"])
    reports = fleet.observe(["a", "b", "c"], [1.0, NAN, 1.0], [[0.1, 0.2], [0.1, 0.2], [INF, 0.0]])
    assert reports.names == ("a",)
    assert reports.refused["b"].startswith("time: a finite number is needed, got nan")
    assert reports.refused["c"].startswith("value: finite numbers or NaN are needed")
    reports = fleet.observe(["a", "b"], ["noon", 2.0], [[0.1, 0.2], [0.1]])
    assert reports.refused["a"].startswith("time: a number is needed, got 'noon'")
    assert reports.refused["b"].startswith("value: shape (2,) is needed")
    assert [fleet.count(name) for name in "abc"] == [1, 0, 0]
    with pytest.raises(KeyError, match="value: shape"):
        reports["b"]


WRONG = {
    "unknown": (lambda f: f.observe(["z"], [1.0], [[0.0, 0.0]]), "names: 'z' is not in the fleet"),
    "twice": (lambda f: f.observe(["a", "a"], [1.0, 2.0], [[0.0, 0.0]] * 2), "names: one is there twice"),
    "columns": (lambda f: f.observe(["a"], [1.0], []), "values: 1 rows of times, values and inputs are needed"),
    "here": (lambda f: f.add(["a"]), "names: 'a' is in the fleet already"),
    "full": (lambda f: f.add(["x", "y"]), "names: at most 1 different ones are needed"),
    "gone": (lambda f: f.remove(["z"]), "names: 'z' is not in the fleet"),
    "size": (lambda f: fl.Fleet(fl.Kalman(), linear_model(), 0, key=KEY), "size: a whole number of at least 1"),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_calls_are_refused(name):
    call, words = WRONG[name]
    with pytest.raises(ValueError, match=re.escape(words)):
        call(fleet_of(["a", "b"]))


def test_a_checkpoint_and_a_session_go_on_to_the_bit(tmp_path):
    """The fleet as one, and one of its series alone; another model is refused by what differs."""
    data = np.random.default_rng(1).normal(size=(6, 2, 2))
    fleet = fleet_of(["b", "a"], origin="2026-01-01", unit="h")
    for k in range(3):
        fleet.observe(["a", "b"], [k + 0.5, k + 0.7], data[k])
    fleet.save(tmp_path / "f.npz", keep=2, row=3)
    again = fl.Fleet.load(tmp_path / "f.npz", fl.Kalman(), linear_model())
    alone = fleet.session("a")
    assert (again.names, again.meta, len(again), again.came) == (("b", "a"), {"row": 3}, 2, 2)
    for k in range(3, 6):
        one, two = (each.observe(["a", "b"], [k + 0.5, k + 0.7], data[k]) for each in (fleet, again))
        np.testing.assert_array_equal(one.mean, two.mean)
        assert one["a"].time == np.datetime64("2026-01-01") + np.timedelta64(60 * k + 30, "m")
        np.testing.assert_allclose(alone.observe(k + 0.5, data[k, 0]).mean, one["a"].mean, rtol=1e-12)
    assert alone.count == 6
    with pytest.raises(ValueError, match="path: algorithm is Kalman in .* and ExtendedKalman here"):
        fl.Fleet.load(tmp_path / "f.npz", fl.ExtendedKalman(), linear_model())


SHARDED = """
import sys
import jax, numpy as np
from jax.sharding import AxisType
jax.config.update("jax_enable_x64", True)
import filterlearn as fl
from tests.cases import linear_model
data, folder = np.random.default_rng(2).normal(size=(5, 4, 2)), sys.argv[1]
mesh = jax.make_mesh((2,), ("series",), axis_types=(AxisType.Auto,))
told = []
for where in (None, mesh):
    fleet = fl.Fleet(fl.ParticleFilter(40), linear_model(), 4, key=jax.random.key(0), mesh=where)
    fleet.add(list("abcd"))
    told.append([fleet.observe(list("abcd"), [k + 1.0] * 4, data[k]).mean for k in range(5)])
assert len(fleet.beliefs.points.sharding.device_set) == 2
fleet.save(f"{folder}/f.npz")
more = [fl.Fleet.load(f"{folder}/f.npz", fl.ParticleFilter(40), linear_model(), mesh=where) for where in (None, mesh)]
told[0].append(more[0].observe(["b"], [9.0], data[0, :1]).mean)
told[1].append(more[1].observe(["b"], [9.0], data[0, :1]).mean)
for one, two in zip(*told):
    np.testing.assert_allclose(one, two, rtol=1e-9)
try:
    fl.Fleet(fl.Kalman(), linear_model(), 3, key=jax.random.key(0), mesh=mesh)
except ValueError as error:
    print(error)
"""


def test_two_devices_hold_half_the_series_each(tmp_path):
    """The same as on one, particles too; a checkpoint of two goes on with one, and the other way round."""
    assert said_on_two(SHARDED, tmp_path) == "size: a multiple of the 2 devices is needed, got 3\n"


def test_one_filter_is_parted_over_devices():
    """Here over one; over two in `tests/science`."""
    one, two = fl.EnsembleKalman(40), PARTED_FILTERS["over_devices"]()
    told = [fl.Session(each, linear_model(), key=KEY).observe(1.0, [0.1, 0.2]) for each in (one, two)]
    np.testing.assert_allclose(told[1].covariance, told[0].covariance, rtol=1e-12)
    with pytest.raises(TypeError, match="filter: one of members or particles is needed, got a belief Gaussian"):
        fl.OverDevices(fl.Kalman(), two.mesh).init(linear_model())
