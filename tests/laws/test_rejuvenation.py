"""Learners that move still parameters over the data so far, where the exact posterior is Gaussian: the parameters enter
linearly, so that the extended Kalman filter of state and parameters together is exact."""

import functools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import filterlearn as fl
from filterlearn.moves.rejuvenation import replayed
from tests.cases import STILL_LEARNERS, hidden_family
from tests.laws.test_learners import hidden_data, moments, narrow

KEY = jax.random.key(0)
LONG = hidden_data(1, 150, scale=0.0)  # gaps of every length and none, entries and whole data missing, inputs
SHORT = LONG[:12]
family = functools.cache(lambda: hidden_family(motion=fl.Static()))
exact = functools.cache(lambda: fl.run(fl.Joint(fl.ExtendedKalman()), family(), LONG, save=moments).saved)


def whitened(mean, covariance, points):
    """Points in the coordinates where a normal law is N(0, I)."""
    return jnp.linalg.solve(jnp.linalg.cholesky(covariance), (points - mean).T).T


def test_the_posterior_stays_exact():
    """150 data leave a hundredth of the prior, where copies of 300 first draws would err by a standard deviation: 12 keys
    against the exact posterior, whitened, and the evidence, both bias and spread."""
    mean, covariance = (part[-1] for part in exact()[:2])
    learner = fl.Nested(fl.Kalman(), 300, fl.Rejuvenation(150, inputs=np.zeros(2)))

    def errors(key):
        out = fl.run(learner, family(), LONG, key=key, save=lambda belief, info: info.log_evidence)
        last = out.last.parameters
        white = whitened(mean, covariance, last.points)
        square = (last.weights[:, None] * white).T @ white - jnp.eye(2)
        gap = jnp.expm1(jnp.sum(out.saved) - jnp.sum(exact()[4]))
        return jnp.concatenate([last.weights @ white, square[jnp.tril_indices(2)], gap[None]])

    found = jax.lax.map(errors, jax.random.split(KEY, 12))
    assert (abs(found.mean(0)) < 5 * found.std(0, ddof=1) / np.sqrt(12)).all()
    assert (found.std(0) < 0.25).all()


def test_a_datum_takes_the_row_of_its_time_or_a_new_one():
    history, value = fl.History.empty(3, fl.Datum(0.0, jnp.zeros(2))), jnp.array([jnp.nan, 0.3])
    for before, time, count in ((-jnp.inf, 1.0, 1), (1.0, 1.0, 1), (1.0, 2.0, 2)):
        history = history.reached(before, time, None)
        assert history.count == count
        assert np.isnan(history.row(count - 1).value).all()
    assert history.told(fl.Datum(2.0, jnp.full(2, jnp.nan))).count == 2
    for count in (2, 3, 4):
        history = history.told(fl.Datum(2.0, value))
        assert history.count == count
        assert history.whole == (count < 4)
    np.testing.assert_array_equal(history.rows.time, [1.0, 2.0, 2.0])
    np.testing.assert_array_equal(history.rows.value, [[np.nan] * 2, value, value])


def test_the_data_are_filtered_again_as_they_were_and_draws_from_the_posterior_stay_so():
    """To rounding: gaps, equal times, missing entries and data, and inputs. 4,000 exact draws, moved by proposals fitted to a
    narrower cloud beside them, keep mean and covariance within five standard errors, though next to none stays where it was
    and many proposals are refused."""
    data = LONG[:40]
    history, (mean, covariance, *_) = fl.History(fl.Datum(*rows(data)), jnp.asarray(40)), (part[39] for part in exact())
    thetas = mean + jax.random.normal(KEY, (4000, 2)) @ jnp.linalg.cholesky(covariance).T
    weights = jax.nn.log_softmax(5 * (thetas[:, 0] - mean[0]))
    inside, move = fl.Kalman(), fl.Rejuvenation(40, moves=6, correlation=0.3, inputs=np.zeros(2))

    @eqx.filter_jit
    def filtered(thetas):
        return replayed(inside, family(), thetas, history, key=KEY)

    inner, levels = filtered(thetas)
    once = [fl.log_evidence(inside, family()(theta), data) for theta in thetas[:2]]
    np.testing.assert_allclose(levels[:2], once, rtol=1e-12)
    cloud, time = fl.Particles(thetas, weights, data.times[-1]), data.times[-1]
    start = fl.NestedBelief(cloud, inner, time, fl.Record(history, levels, *(jnp.full((), jnp.nan),) * 2))
    compiled = eqx.filter_jit(move.moved)
    moved = compiled(inside, family(), start, jnp.arange(4000), key=KEY)
    white = whitened(mean, covariance, moved.parameters.points)
    for sample in (white, white**2 - 1, white[:, :1] * white[:, 1:]):
        assert (abs(sample.mean(0)) < 5 * sample.std(0) / np.sqrt(4000)).all()
    assert 0.2 < moved.record.acceptance < 0.8
    assert (moved.parameters.points == thetas).all(1).mean() < 0.05
    again, levels = filtered(moved.parameters.points)
    np.testing.assert_allclose(moved.record.log_evidence, levels, rtol=1e-9)
    np.testing.assert_allclose(moved.inner.mean, again.mean, rtol=1e-9, atol=1e-12)
    lost = eqx.tree_at(lambda b: b.record.history.count, start, jnp.asarray(41))
    copied = compiled(inside, family(), lost, jnp.arange(4000), key=KEY)  # a datum is not there: nothing is moved
    np.testing.assert_array_equal(copied.parameters.points, thetas)
    noisy = eqx.tree_at(lambda r: r.noise, copied.record, jnp.asarray(2.1))
    assert move.flags(copied.record) == fl.protocol.HISTORY_FULL
    assert move.flags(noisy) == fl.protocol.HISTORY_FULL | fl.protocol.NOISY
    assert np.isnan(copied.record.acceptance)


def points(belief):
    return belief.parameters.points


def rows(data):
    return data.times, data.values, data.inputs


def same(one, two):
    """To the bit."""
    pairs = zip(jax.tree.leaves(one), jax.tree.leaves(two), strict=True)
    return all(np.array_equal(a, b, equal_nan=True) for a, b in pairs)


@pytest.mark.parametrize("name", STILL_LEARNERS)
def test_streams_equal_runs_grow_and_resume(name, tmp_path):
    """A stream equals the scan, one among several keys, up to rounding. A full history is flagged, and doubles with nothing
    lost but what was kept for late data; resumed by the learner given first, the stream is itself to the bit."""
    learner, keys = STILL_LEARNERS[name](), jax.random.split(KEY, 2)
    run = lambda key: fl.run(learner, family(), SHORT, key=key, save=moments)  # noqa: E731
    saved = [part[1] for part in jax.vmap(lambda key: run(key).saved)(keys)]
    session = fl.Session(learner, family(), key=keys[1], replay=2)
    for k in range(12):
        datum = [np.asarray(part[k]) for part in rows(SHORT)]
        report = session.observe(*datum)
        np.testing.assert_allclose(report.parameters["theta"]["mean"], saved[0][k], rtol=1e-9)
        np.testing.assert_allclose(report.log_evidence, saved[4][k], rtol=1e-9, atol=1e-9)
        assert report.flags == (("history full",) if k == 11 else ())
    assert session.belief.record.acceptance > 0
    assert session.algorithm.move.capacity == session.belief.record.history.capacity == 20
    assert session.belief.record.history.count == 10  # two data have the times of others
    session.save(tmp_path / "stream.npz")
    resumed = fl.Session.load(tmp_path / "stream.npz", learner, family())
    assert session.observe(SHORT.times[8], [0.0, 0.0], datum[2]).flags == ("late",)
    resumed.observe(SHORT.times[8], [0.0, 0.0], datum[2])
    for each in (session, resumed):
        assert each.observe(datum[0] + 1, [0.4, 0.3], datum[2]).flags == ()
    assert same(session.belief, resumed.belief)
    assert session.belief.record.history.count == 11


@pytest.mark.parametrize("name", STILL_LEARNERS)
def test_single_precision_stays_single(name):
    learner, problem = STILL_LEARNERS[name](), narrow(family()).altered(narrow)
    out = jax.eval_shape(lambda key: fl.run(learner, problem, narrow(SHORT), key=key, save=moments).saved, KEY)
    assert all(part.dtype == jnp.float32 for part in out)


@pytest.mark.parametrize(
    ("motion", "words"),
    [
        (fl.RandomWalk(0.1), "move: Rejuvenation is for static parameters, and ['theta'] move"),
        (fl.Static(), "inputs: shape (3,) as in Rejuvenation(inputs=...), an example, needed, got shape (2,)"),
    ],
    ids=["moving", "inputs"],
)
def test_what_cannot_be_filtered_again_is_refused(motion, words):
    learner = fl.Nested(fl.Kalman(), 9, fl.Rejuvenation(9, inputs=np.zeros(3)))
    flat = lambda model: eqx.tree_at(lambda m: m.observation.offset, model, jnp.zeros(2))  # noqa: E731
    problem = hidden_family(motion=motion).altered(flat)
    with pytest.raises((ValueError, TypeError)) as error:
        fl.log_evidence(learner, problem, SHORT, key=KEY)
    assert words in str(error.value)
