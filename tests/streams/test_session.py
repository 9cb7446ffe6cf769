"""Laws of sessions: one trace, the run's own log, a belief that survives bad data, refusals that change nothing."""

import json
import re
from datetime import UTC, datetime

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest
import xarray as xr

import filterlearn as fl
from filterlearn.diagnostics.results import rows_to_datatree
from tests.cases import driven_data, driven_model, linear_data, linear_model

KEY = jax.random.key(3)
NAN, INF = float("nan"), float("inf")


def leaves(session):
    return [np.asarray(leaf) for leaf in jax.tree.leaves(session.belief)]


def same(one, two):
    return all(np.array_equal(a, b, equal_nan=True) for a, b in zip(one, two, strict=True))


def counted(model):
    """A family that makes one model, and the list that grows with each trace of it."""
    traces = []

    def build(p):
        traces.append(1)
        return eqx.tree_at(lambda m: m.initial.mean, model, model.initial.mean + p["shift"])

    return fl.ModelFamily(build, {"shift": fl.Parameter(dist.Normal(0.0, 0.1), fl.RandomWalk(0.01))}), traces


def test_compile_leaves_nothing_to_trace_and_changes_nothing():
    family, traces = counted(driven_model())
    session = fl.Session(fl.Joint(fl.ExtendedKalman()), family, key=KEY)
    before = leaves(session)
    session.compile(inputs=[0.0])
    count, known = len(traces), session._engine._compiled._cache_size
    assert same(before, leaves(session))
    assert session.count == 0
    assert known() == 1
    for k in range(3):
        session.observe(k, [0.1, NAN], [0.5 * k])
    assert len(traces) == count > 0
    assert known() == 1  # kinds of arguments: the first datum takes the short way too


@pytest.mark.parametrize("inputs", ["rows", "Held"])
def test_a_stream_with_inputs_is_the_run(inputs):
    """Row k holds over (t_k-1, t_k]: the same table, read at its own times, needs its row at the interval's end."""
    data = driven_data(20)
    table = fl.Held(np.arange(0.0, 30.0), np.random.default_rng(1).normal(size=(30, 1)))
    data = data if inputs == "rows" else fl.Dataset(data.times, data.values, table)
    out = fl.run(fl.ExtendedKalman(), driven_model(), data)
    session = fl.Session(fl.ExtendedKalman(), driven_model(), key=KEY)
    for k in range(20):
        datum = data.datum(k)
        report = session.observe(datum.time, datum.value, datum.inputs)
        np.testing.assert_allclose(report.mean, out.mean[k], rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(report.log_evidence, out.log_evidence[k], rtol=1e-10, atol=1e-12)


def exploding(at):
    """A random walk whose drift is not finite after a time."""
    drift = lambda t, x, u: jnp.where(t > at, jnp.nan, 0.0) * x  # noqa: E731
    return fl.StateSpaceModel(
        fl.Gaussian([1.0], 1.0, time=0.0),
        fl.EulerMaruyama(fl.SDE(drift, jnp.array([0.5])), steps=2),
        fl.GaussianObservation(lambda t, x, u: x, [[1.0]]),
    )


@pytest.mark.parametrize("algorithm", [fl.ExtendedKalman(), fl.EnsembleKalman(20), fl.ParticleFilter(50)])
@pytest.mark.parametrize("value", [0.3, NAN])
def test_a_belief_that_is_lost_is_not_kept(algorithm, value):
    session = fl.Session(algorithm, exploding(1.5), key=KEY)
    good = session.observe(1.0, 0.5)
    before = leaves(session)
    lost = session.observe(3.0, value)
    assert good.flags == ()
    assert "not finite" in lost.flags
    assert same(before, leaves(session))
    np.testing.assert_array_equal(lost.mean, good.mean)
    assert session.observe(1.2, 0.4).flags == ()
    assert session.count == 3


KEPT = {
    "ensemble": lambda: fl.EnsembleKalman(20, inflation=1.1),
    "particle": lambda: fl.ParticleFilter(20),
    "joint": lambda: fl.Joint(fl.ExtendedKalman()),
    "nested": lambda: fl.Nested(fl.Kalman(), 20),
}


@pytest.mark.parametrize("name", KEPT)
def test_late_data_change_no_bit(name):
    family, _ = counted(linear_model())
    session = fl.Session(KEPT[name](), family if name in ("joint", "nested") else linear_model(), key=KEY)
    session.observe(1.0, [0.1, 0.2])
    before = leaves(session)
    late = session.observe(0.5, [9.0, 9.0])
    assert (late.flags, late.log_evidence) == (("late",), 0.0)
    assert same(before, leaves(session))
    assert session.time == 1.0


REFUSED = {
    "too few entries": ((2.0, [0.1]), "value: shape (2,) is needed"),
    "a scalar": ((2.0, 0.1), "value: shape (2,) is needed"),
    "two dimensions": ((2.0, [[0.1, 0.2]]), "value: shape (2,) is needed"),
    "infinite": ((2.0, [INF, 0.0]), "value: finite"),
    "text": ((2.0, ["a", "b"]), "value: numbers"),
    "no inputs": ((2.0, [0.1, 0.2], None), "inputs: shape (1,) needed, as with the first datum, got none"),
    "other inputs": ((2.0, [0.1, 0.2], [1.0, 2.0]), "inputs: shape (1,) needed, as with the first datum, got shape (2,)"),
    "a table": ((2.0, [0.1, 0.2], fl.Held([0.0], [[1.0]])), "got Held of shape (1, 1)"),
    "NaN inputs": ((2.0, [0.1, 0.2], [NAN]), "inputs: not finite"),
    "noon": (("noon", [0.1, 0.2]), "time: a number is needed"),
    "NaN time": ((NAN, [0.1, 0.2]), "time: a finite number"),
    "no time": ((None, [0.1, 0.2]), "time: a number is needed"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused_by_name_before_the_step(name):
    given, words = REFUSED[name]
    family, traces = counted(driven_model())
    session = fl.Session(fl.Joint(fl.ExtendedKalman()), family, key=KEY)
    session.observe(1.0, [0.0, 0.1], [0.5])
    before, count = leaves(session), len(traces)
    with pytest.raises((ValueError, TypeError), match=re.escape(words)) as caught:
        session.observe(*given) if len(given) == 3 else session.observe(*given, [0.5])
    assert "\n" not in str(caught.value)
    assert same(before, leaves(session))
    assert (session.count, session.time, len(traces)) == (1, 1.0, count)


def test_the_first_datum_is_held_to_the_model():
    session = fl.Session(fl.Kalman(), linear_model(), key=KEY)
    with pytest.raises(ValueError, match=re.escape("value: shape (2,) is needed")):
        session.observe(1.0, [0.1])
    assert session.observe(1.0, [0.1, 0.2]).flags == ()


def test_inputs_that_begin_too_late_are_refused():
    session = fl.Session(fl.ExtendedKalman(), driven_model(), key=KEY)
    with pytest.raises(ValueError, match="inputs: they begin at 2"):
        session.observe(1.0, [0.1, 0.2], fl.Held([2.0], [[1.0]]))


ZONED = datetime(2020, 1, 3, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("origin", "times"),
    [
        ("2020-01-01", ["2020-01-02", np.datetime64("2020-01-03T12:00"), datetime(2020, 1, 5)]),
        (datetime(2020, 1, 1, tzinfo=UTC), ["2020-01-02T02:00+02:00", ZONED, "2020-01-05T00:00Z"]),
    ],
)
def test_datetimes_are_understood(origin, times):
    """Days since the origin, whatever the kind; a number is days too; reports show datetimes in UTC."""
    session = fl.Session(fl.Kalman(), linear_model(), key=KEY, origin=origin)
    other = fl.Session(fl.Kalman(), linear_model(), key=KEY)
    for given, days in zip([*times, 5.5], [1.0, 2.5, 4.0, 5.5], strict=True):
        report, plain = session.observe(given, [0.1, 0.2]), other.observe(days, [0.1, 0.2])
        np.testing.assert_array_equal(report.mean, plain.mean)
        assert report.time == np.datetime64("2020-01-01", "ns") + np.timedelta64(round(days * 24), "h")
    assert session.forecast(["2020-01-07" if isinstance(origin, str) else "2020-01-07T00:00Z"]).states.shape == (1000, 1, 2)


@pytest.mark.parametrize(
    ("origin", "time", "words"),
    [
        ("2020-01-01", "noon", "time: 'noon' is neither a number nor an ISO datetime"),
        ("2020-01-01", "NaT", "time: a datetime is missing (NaT)"),
        ("2020-01-01", np.datetime64("NaT", "s"), "time: a datetime is missing (NaT)"),
        ("2020-01-01", None, "time: a datetime is missing (NaT)"),
        ("2020-01-01", "now", "time: 'now' is neither a number nor an ISO datetime"),
        ("2020-01-01", "20200101", "time: '20200101' is neither a number nor an ISO datetime"),
        ("2020-01-01", "9999-01-01", "time: a datetime between the years 1678 and 2261 is needed, got 9999-01-01"),
        ("2020-01-01", np.datetime64("1600-01-01"), "time: a datetime between the years 1678 and 2261 is needed"),
        ("2020-01-01", datetime(9999, 1, 1), "time: a datetime between the years 1678 and 2261 is needed"),
        ("1700-01-01", "2200-01-01", "times: datetimes within 292 years of the origin 1700-01-01T"),
        ("2020-01-01", 1e6, "times: 1e+06 D from 2020-01-01T00:00:00.000000000 is not between the years 1678 and 2261"),
        ("2020-01-01", ZONED, "must both have a time zone, or neither"),
        ("2020-01-01", "2020-01-02T00:00Z", "must both have a time zone, or neither"),
        ("2020-01-01T00:00Z", "2020-01-02", "must both have a time zone, or neither"),
        ("2020-01-01T00:00Z", "2020-13-02T00:00Z", "time: '2020-13-02T00:00Z' is neither"),
        (None, "2020-01-02", "time: a number is needed, got '2020-01-02'; give Session(origin="),
    ],
)
def test_times_that_are_not_understood_are_refused(origin, time, words):
    session = fl.Session(fl.Kalman(), linear_model(), key=KEY, origin=origin)
    with pytest.raises((ValueError, TypeError), match=re.escape(words)) as caught:
        session.observe(time, [0.1, 0.2])
    assert "\n" not in str(caught.value)
    assert (session.count, session.time) == (0, None)


def test_a_wrong_origin_or_unit_is_refused_at_once():
    for given, words in (({"origin": "noon"}, "'noon'"), ({"origin": "2020-01-01", "unit": "year"}, "unit: one of")):
        with pytest.raises((ValueError, TypeError), match=words):
            fl.Session(fl.Kalman(), linear_model(), key=KEY, **given)


def test_times_that_merge_in_single_precision_are_refused():
    """Seconds since 1970 are 2^30 x 2^-23 = 128 s apart in float32."""
    model = eqx.tree_at(lambda m: m.initial.time, linear_model(), -jnp.inf)  # starts at the first datum
    session = fl.Session(fl.Kalman(), jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float32), model), key=KEY)
    session.observe(1.7e9, [0.1, 0.2])
    with pytest.raises(ValueError, match="time: 1700000001.0 cannot be told from 1700000000.0 in float32"):
        session.observe(1.7e9 + 1, [0.1, 0.2])
    assert session.observe(1.7e9 + 1000, [0.1, 0.2]).flags == ()


def test_forecasts_use_no_noise_of_the_stream():
    """They can be repeated, and the datum that follows is as without them."""
    one, two = (fl.Session(fl.EnsembleKalman(20), linear_model(), key=KEY) for _ in range(2))
    for session in (one, two):
        session.observe(1.0, [0.1, 0.2])
    first, again = one.forecast([2.0, 3.0], draws=5), one.forecast([2.0, 3.0], draws=5)
    assert first.observations.shape == (5, 2, 2)
    np.testing.assert_array_equal(first.states, again.states)
    np.testing.assert_array_equal(one.observe(2.0, [0.3, 0.4]).mean, two.observe(2.0, [0.3, 0.4]).mean)


@pytest.mark.parametrize(
    ("times", "inputs", "words"),
    [
        ([], None, "times: not decreasing, from 1 on"),
        ([0.5], None, "times: not decreasing, from 1 on"),
        ([3.0, 2.0], None, "times: not decreasing, from 1 on"),
        ([2.0, 3.0], [[0.1]], "inputs: 2 rows are needed"),
        (["noon"], None, "time: a number"),
    ],
)
def test_wrong_forecasts_are_refused(times, inputs, words):
    session = fl.Session(fl.ExtendedKalman(), driven_model(), key=KEY)
    session.observe(1.0, [0.1, 0.2], [0.0])
    with pytest.raises((ValueError, TypeError), match=words):
        session.forecast(times, inputs=inputs)


@pytest.mark.parametrize("learner", [False, True])
def test_a_log_is_laid_out_as_the_trajectory(learner):
    """Groups, names, dimensions and numbers; bands of parameters come from 1,000 other draws of the same belief."""
    data = linear_data(25)
    data = fl.Dataset(
        np.datetime64("2021-03-01", "ns") + np.round(np.asarray(data.times) * 8.64e13).astype("timedelta64[ns]"), data.values
    )
    family, _ = counted(linear_model())
    algorithm, problem = (fl.Joint(fl.ExtendedKalman()), family) if learner else (fl.Kalman(), linear_model())
    tree = fl.to_datatree(fl.run(algorithm, problem, data), family)
    session = fl.Session(algorithm, problem, key=KEY, origin=data.origin)
    reports = [session.observe(data.times[k], data.values[k]) for k in range(25)]
    log = fl.to_datatree(reports)
    for each in (
        log,
        rows_to_datatree([json.loads(json.dumps(report.row(), default=np.ndarray.tolist)) for report in reports]),
    ):
        xr.testing.assert_allclose(each["observed_data"].dataset, tree["observed_data"].dataset)
        bands = [name for name in tree["filter"] if name.startswith("parameter_")]
        assert list(each["filter"]) == list(tree["filter"])
        xr.testing.assert_allclose(
            each["filter"].dataset.drop_vars(bands), tree["filter"].dataset.drop_vars(bands), atol=1e-9
        )
        assert bands == (["parameter_shift"] if learner else [])
        for name in bands:
            # a quantile at level .05 from n draws of a normal has the standard error sd sqrt(.05 x .95) / (.103 sqrt n)
            assert tree["filter"][name].dims == each["filter"][name].dims == ("time", "level")
            assert abs(each["filter"][name] - tree["filter"][name]).max() < 5 * 2**0.5 * 0.1 * 2.12 / 1000**0.5


def test_an_empty_log_is_refused():
    with pytest.raises(ValueError, match="source: an empty log"):
        fl.to_datatree([])
