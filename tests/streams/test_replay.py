"""A late datum takes its place: the stream is then that of the data in order."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import filterlearn as fl
from tests.cases import driven_data, driven_model, hidden_family, linear_data, linear_model

KEY, NAN = jax.random.key(2), float("nan")
ORDER = [0, 1, 2, 4, 5, 3, 7, 6, 8, 11, 9, 10]  # as the data arrive


def session(replay=4, algorithm=None, model=None):
    return fl.Session(algorithm or fl.Kalman(), model or linear_model(), key=KEY, replay=replay)


def fed(stream, data, order=ORDER):
    inputs = data.inputs
    return [
        stream.observe(float(data.times[k]), np.asarray(data.values[k]), None if inputs is None else np.asarray(inputs[k]))
        for k in order
    ]


@pytest.mark.parametrize(
    ("model", "data"), [(linear_model, linear_data), (driven_model, driven_data)], ids=["linear", "driven"]
)
def test_the_stream_is_that_of_the_data_in_order(model, data):
    """An exact filter: the same belief, and the evidence of all data, up to rounding."""
    data = data(12)
    late, ordered = session(model=model()), session(0, model=model())
    total, expected = (
        sum(report.log_evidence for report in fed(s, data, o)) for s, o in ((late, ORDER), (ordered, range(12)))
    )
    np.testing.assert_allclose(total, expected, rtol=1e-12)
    np.testing.assert_allclose(late.belief.mean, ordered.belief.mean, rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(late.belief.covariance, ordered.belief.covariance, rtol=1e-12, atol=1e-14)
    assert late.time == ordered.time
    assert late.count == 12


def test_the_report_of_a_late_datum():
    """Its evidence is given all others; its prediction is from the data before it; it is not flagged."""
    data, stream = linear_data(12), session()
    report = fed(stream, data, [0, 1, 2, 4, 3])[-1]
    trajectory = fl.run(fl.Kalman(), linear_model(), data[:5])
    without = fl.run(fl.Kalman(), linear_model(), fl.Dataset(np.delete(data.times[:5], 3), np.delete(data.values[:5], 3, 0)))
    expected = trajectory.log_evidence.sum() - without.log_evidence.sum()
    np.testing.assert_allclose(report.log_evidence, expected, rtol=1e-10)
    np.testing.assert_allclose(report.info.predicted[0], trajectory.info.predicted[0][3], rtol=1e-12)
    assert report.flags == ()


def test_beyond_the_lag_it_is_flagged_and_changes_nothing():
    data, stream = linear_data(12), session(2)
    fed(stream, data, [0, 2, 3, 4])
    before = stream.belief
    report = fed(stream, data, [1])[0]
    assert (report.flags, report.log_evidence) == (("late",), 0.0)
    assert all((a == b).all() for a, b in zip(jax.tree.leaves(before), jax.tree.leaves(stream.belief), strict=True))


def test_two_sensors_at_one_time_in_single_precision_are_not_late():
    """.1 is below its own rounding in float32; the second datum is the next, with the keys of a stream without replay."""
    with jax.enable_x64(False):
        one, two = jnp.eye(2, dtype=jnp.float32), jnp.zeros(2, jnp.float32)
        model = fl.StateSpaceModel(
            fl.Gaussian(two, one, 0.0), fl.LinearDiscrete(one, one), fl.LinearGaussianObservation(one, one)
        )
        streams = [session(replay, fl.ParticleFilter(20), model) for replay in (0, 3)]
        for stream in streams:
            stream.observe(0.1, [0.5, NAN])
            stream.observe(0.1, [NAN, 0.2])
        points = [stream.belief.points for stream in streams]
        assert points[0].dtype == jnp.float32
        assert (points[0] == points[1]).all()


def test_a_refused_datum_is_not_replayed():
    """1e200 squared is not finite: refused when it comes, it does not come again with the next late one."""
    stream = session()
    assert "not finite" in stream.observe(1.0, [1e200, 0.0]).flags
    stream.observe(2.0, [0.3, 0.1])
    report = stream.observe(0.5, [0.2, 0.2])
    assert np.isfinite(report.log_evidence)
    assert report.flags == ()


def test_a_learner_of_particles_replays_with_other_numbers():
    """Other random numbers for the same data: parameters stay near those of the stream in order."""
    data = fl.Dataset(np.arange(12.0), np.random.default_rng(0).normal(size=(12, 2)), np.ones((12, 2)))
    learner = fl.Nested(fl.Kalman(), 400)
    late, ordered = session(3, learner, hidden_family()), session(0, learner, hidden_family())
    fed(late, data)
    fed(ordered, data, range(12))
    one, two = late.belief.parameters, ordered.belief.parameters
    spread = jnp.sqrt(jnp.diagonal(two.covariance))
    assert not (one.points == two.points).all()
    assert (jnp.abs(one.mean - two.mean) < 5 * spread * np.sqrt(2 / 100)).all()  # an effective size of a quarter


@pytest.mark.parametrize("data", [linear_data, driven_data])
def test_a_checkpoint_keeps_what_a_replay_needs(tmp_path, data):
    model = linear_model() if data is linear_data else driven_model()
    data = data(12)
    straight, saved = session(model=model), session(model=model)
    for stream in (straight, saved):
        fed(stream, data, ORDER[:5])
    saved.save(tmp_path / "a.npz")
    resumed = fl.Session.load(tmp_path / "a.npz", fl.Kalman(), model)
    fed(straight, data, ORDER[5:])
    fed(resumed, data, ORDER[5:])
    pairs = zip(jax.tree.leaves(straight.belief), jax.tree.leaves(resumed.belief), strict=True)
    assert all((np.asarray(a) == np.asarray(b)).all() for a, b in pairs)


def test_wrong_numbers_and_functions_of_time_are_refused():
    with pytest.raises(ValueError, match="replay: a whole number of at least 0"):
        session(-1)
    stream = session(model=driven_model())
    with pytest.raises(TypeError, match="inputs: arrays are needed for replay"):
        stream.observe(1.0, [0.1, 0.2], fl.Held([0.0, 2.0], [[0.1], [0.2]]))
