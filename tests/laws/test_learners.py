"""Laws of learners, on families where the answer is known."""

import functools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest

import filterlearn as fl
from filterlearn.protocol import NOISY
from tests.cases import HIDDEN_NOISE, LEARNERS, NARROW_LEARNERS, hidden_family, hidden_model, regression_family, walking
from tests.oracles.dense import dense_filter

KEY = jax.random.key(0)
EXACT = ("joint_extended", "joint_sigma_point")  # where (x, theta) is linear
SMOOTH = (*EXACT, "joint_ensemble", "recursive_kalman")  # at a fixed key
ONE_BY_ONE = tuple(name for name in LEARNERS if "ensemble" not in name)  # draw as much for one sensor as for two
TRACES = []


def counted(model):
    """The model, its making counted."""
    TRACES.append(None)
    return model


MAKE = {name: make for name, (make, _) in (LEARNERS | NARROW_LEARNERS).items()}
# One object of each: the functions of an optimiser, and of a family, are compared by identity.
LEARNER = functools.cache(lambda name: MAKE[name]())
HIDDEN = functools.cache(lambda: hidden_family().altered(counted))
REGRESSION = functools.cache(regression_family)


@functools.cache
def family_of(name):
    """The family that a law tries a learner on."""
    return NARROW_LEARNERS[name][1]().altered(counted) if name in NARROW_LEARNERS else HIDDEN()


def regression(seed, length=300):
    """A6's data, unit gaps and three inputs, and its theta."""
    rng = np.random.default_rng(seed)
    inputs = rng.normal(size=(length, 3))
    theta = rng.normal(size=3) + np.cumsum(0.1 * rng.normal(size=(length, 3)), 0)
    return fl.Dataset(np.arange(float(length)), (inputs * theta).sum(1) + rng.normal(size=length), inputs), theta


def hidden_data(seed, length=300, missing=0.2, scale=0.3):
    """Irregular times, two of them twice, a fifth of the entries missing; the level relaxes in exact steps. Nothing is seen
    at row 5, and at row 7, which is at the time of row 6."""
    rng = np.random.default_rng(seed)
    gaps = rng.uniform(0.05, 0.6, length)
    gaps[[7, 10]] = 0.0
    inputs, noise = rng.normal(size=(length, 2)), rng.normal(size=(length, 2)) @ np.linalg.cholesky(HIDDEN_NOISE).T
    theta = np.array([0.5, -0.5]) + rng.normal(size=2)
    theta = theta + np.cumsum(scale * np.sqrt(gaps)[:, None] * rng.normal(size=(length, 2)), 0)
    level, levels = 0.2, []
    for h, e in zip(gaps, rng.normal(size=length), strict=True):
        level = np.exp(-0.5 * h) * level + 0.6 * np.sqrt(1 - np.exp(-h)) * e
        levels.append(level)
    values = np.stack([np.array(levels) + (inputs * theta).sum(1), levels], 1) + noise
    values[rng.uniform(size=values.shape) < missing] = np.nan
    values[[5, 7]] = np.nan
    return fl.Dataset(np.cumsum(gaps), values, inputs)


def moments(belief, info):
    """What a law compares: parameters and state, by their moments, and the evidence."""
    both = (belief.parameters.mean, belief.parameters.covariance, belief.mean, belief.covariance)
    return (*both, info.log_evidence)


def everything(belief, info):
    return moments(belief, info), belief, info.flags


def run(name, data, key=KEY, family=None):
    """One trace for all the laws that look at these lengths."""
    return fl.run(LEARNER(name), family or family_of(name), data, key=key, save=everything).saved


@functools.cache
def straight(name, seed=9):
    """(moments, beliefs, flags) of the registered learner on the data of a seed."""
    return run(name, hidden_data(seed), jax.random.key(seed))


@pytest.mark.parametrize("name", EXACT)
def test_joint_equals_the_dense_gaussian(name):
    """Linear in (x, theta) together: 1e-9 is the rounding of the dense solves."""
    data = hidden_data(9)
    mean, covariance, evidence = dense_filter(hidden_model(), fl.Dataset(data.times[:60], data.values[:60], data.inputs[:60]))
    exact = mean[:, 1:], covariance[:, 1:, 1:], mean[:, :1], covariance[:, :1, :1], evidence
    for ours, theirs in zip(straight(name)[0], exact, strict=True):
        np.testing.assert_allclose(ours[:60], theirs, atol=1e-9)


def ratios(runs):
    """(1 + squared distance of the means from the exact ones, own variance), over the exact posterior variance, from pairs of
    (ours, exact) moments. The error of the exact mean is orthogonal to whatever the data tell, so the first is the squared
    error over the exact one: no need to meet the truth, and no noise from it."""
    excess = sum(np.sum((ours[0] - exact[0])[50:] ** 2) for ours, exact in runs)
    own, variance = (sum(np.trace(m[1][50:], axis1=1, axis2=2).sum() for m in side) for side in zip(*runs, strict=True))
    return 1 + excess / variance, own / variance


@pytest.mark.parametrize("name", LEARNERS)
def test_tracks_moving_parameters(name):
    bound = LEARNERS[name][1]
    error, own = ratios([(straight(name, seed)[0], straight("joint_extended", seed)[0]) for seed in (9, 1)])
    assert error < bound
    assert 1 / bound < own < bound


@pytest.mark.parametrize("name", ["joint_sigma_point", "nested_kalman", "recursive_kalman"])
def test_tracks_a_moving_regression(name):
    """The CI form of A6."""
    bound = LEARNERS[name][1]
    one, two = (
        [fl.run(learner, REGRESSION(), regression(k)[0], key=jax.random.key(k), save=moments).saved for k in range(2)]
        for learner in (LEARNER(name), LEARNER("joint_extended"))
    )
    error, own = ratios(list(zip(one, two, strict=True)))
    assert error < bound
    assert 1 / bound < own < bound


@pytest.mark.parametrize("name", MAKE)
def test_streams_saves_and_resumes(name, tmp_path):
    """The stream equals the scan up to rounding (samples keep their ancestors on this key); resumed, itself to the bit."""
    learner, family, data = LEARNER(name), family_of(name), hidden_data(9)
    scan = straight(name)[0]
    whole, halved = (fl.Session(learner, family, key=jax.random.key(9)) for _ in range(2))
    for k in range(12):
        datum = float(data.times[k]), np.asarray(data.values[k]), np.asarray(data.inputs[k])
        if k == 6:
            halved.save(tmp_path / "stream.npz")
            halved = fl.Session.load(tmp_path / "stream.npz", learner, family)
        one, two = whole.observe(*datum), halved.observe(*datum)
        np.testing.assert_allclose(one.mean, scan[2][k], rtol=1e-9, atol=1e-9)
        np.testing.assert_allclose(whole.belief.parameters.mean, scan[0][k], rtol=1e-9, atol=1e-9)
        np.testing.assert_allclose(one.log_evidence, scan[4][k], rtol=1e-9, atol=1e-9)
    assert one.log_evidence == two.log_evidence
    assert one.parameters["theta"]["quantiles"].shape == (3, 2)
    pairs = zip(jax.tree.leaves(whole.belief), jax.tree.leaves(halved.belief), strict=True)
    assert all((np.asarray(a) == np.asarray(b)).all() for a, b in pairs)
    np.testing.assert_array_equal(one.parameters["theta"]["mean"], two.parameters["theta"]["mean"])


@pytest.mark.parametrize("name", MAKE)
def test_nothing_seen_in_no_time_changes_nothing(name):
    """No motion, no weighing, no resampling, no move, no inflation: row 7 leaves the belief of row 6, every leaf of it."""
    scan, beliefs, flags = straight(name)
    assert scan[4][7] == 0
    assert flags[7] == 0
    for leaf in jax.tree.leaves(beliefs):
        np.testing.assert_allclose(leaf[7], leaf[6], rtol=0, atol=1e-14)


@pytest.mark.parametrize("name", ONE_BY_ONE)
def test_a_missing_sensor_is_as_if_it_were_not_there(name):
    data = hidden_data(9)
    missing = fl.Dataset(data.times, data.values.at[:, 1].set(jnp.nan), data.inputs)
    absent = fl.Dataset(data.times[:12], data.values[:12, :1], data.inputs[:12])
    without = fl.run(LEARNER(name), hidden_family(sensors=(0,)), absent, key=KEY, save=moments).saved
    for one, two in zip(run(name, missing)[0], without, strict=True):
        np.testing.assert_allclose(one[:12], two, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", MAKE)
def test_the_future_changes_nothing_before_it(name):
    """To the bit."""
    data = hidden_data(9)
    surprised = fl.Dataset(data.times, data.values.at[8:].set(1e6), data.inputs)
    for one, two in zip(straight(name)[0], run(name, surprised, jax.random.key(9))[0], strict=True):
        assert (one[:8] == two[:8]).all()


@pytest.mark.parametrize("name", MAKE)
def test_vmap_over_keys_equals_the_loop(name):
    data, keys = hidden_data(9), jnp.stack([jax.random.key(9), KEY])
    loop = straight(name)[0], run(name, data)[0]
    together = eqx.filter_vmap(lambda key: run(name, data, key)[0])(keys)
    for part, each in zip(together, zip(*loop, strict=True), strict=True):
        np.testing.assert_allclose(part[:, :50], jnp.stack(each)[:, :50], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", MAKE)
def test_traces_once(name):
    """Other data, keys and scales of motion, and whatever kind of number a stream brings."""
    family, data = family_of(name), hidden_data(1)

    def moved(scale):
        other = eqx.tree_at(lambda f: f.sd, family, family.sd * scale)
        return walking(other, jnp.asarray(0.3 * scale)) if name in LEARNERS else other

    run(name, data, KEY, moved(0.9))
    assert TRACES
    session, before = fl.Session(LEARNER(name), family, key=KEY), len(TRACES)
    for k, datum in enumerate(
        ((1, [1, 0]), (2, [0.3, 0.1]), (np.float32(3), [np.nan, 0.3]), (jnp.asarray(3.0), [np.nan] * 2))
    ):
        session.observe(*datum, np.ones(2))
        before = before if k else len(TRACES)
    run(name, data, jax.random.key(2), moved(1.1))
    assert len(TRACES) == before


def narrow(tree):
    """The same in single precision."""
    return jax.tree.map(lambda x: jnp.asarray(x, jnp.float32) if eqx.is_inexact_array(x) else x, tree)


@pytest.mark.parametrize("name", MAKE)
def test_single_precision_stays_single(name):
    """The deterministic learner to rounding; the others draw other numbers, and keep their law as their filter does."""
    family, data = narrow(family_of(name)).altered(narrow), narrow(hidden_data(9))
    tracked = lambda: fl.run(LEARNER(name), family, data, key=KEY, save=moments).saved  # noqa: E731
    assert all(part.dtype == jnp.float32 for part in jax.eval_shape(tracked))
    if name in EXACT:  # a dozen steps of some ten roundings each, on numbers below 10
        for one, two in zip(tracked(), straight(name)[0], strict=True):
            np.testing.assert_allclose(one[:12], two[:12], atol=12 * 10 * 10 * np.finfo(np.float32).eps)


@pytest.mark.parametrize("name", SMOOTH)
def test_gradient_matches_finite_differences(name):
    data, learner = hidden_data(9, 12), LEARNER(name)

    def evidence(scale):
        return fl.log_evidence(learner, walking(HIDDEN(), jnp.asarray(scale)), data, key=KEY)

    slope = jax.grad(evidence)(0.3)
    difference = (evidence(0.3 + 1e-5) - evidence(0.3 - 1e-5)) / 2e-5
    np.testing.assert_allclose(slope, difference, rtol=1e-5)


def sliding_family():
    """A level that relaxes at an unknown, still rate."""

    def build(p):
        level = fl.LinearSDE(-p["rate"][None, None], [[0.6]])
        return fl.StateSpaceModel(fl.Gaussian([2.0], 0.4, time=0.0), level, fl.LinearGaussianObservation([[1.0]], [[0.2]]))

    return fl.ModelFamily(build, {"rate": fl.Parameter(dist.LogNormal(0.0, 1.0))})


@pytest.mark.parametrize(
    ("inside", "move"),
    [(fl.Kalman, None), (lambda: fl.ParticleFilter(20), fl.Rejuvenation(12, moves=1))],
    ids=["kalman", "particle"],
)
def test_nested_equals_a_grid_over_a_still_parameter(inside, move):
    """exp(log evidence), and the posterior's mean and second moment weighed by it, are unbiased whatever the sizes inside and
    outside, where nothing moves, and to O(1 / size) where moves over the data are fitted to the particles, also once the
    filter inside was exchanged for a larger: 300 keys against the exact evidence on a grid, within five standard errors."""
    family, rng = sliding_family(), np.random.default_rng(4)
    times = np.cumsum(rng.uniform(0.1, 0.5, 12))
    data = fl.Dataset(times, 2 * np.exp(-0.7 * times) + 0.7 * rng.normal(size=12))
    grid = jnp.linspace(-5.0, 5.0, 2001)[:, None]
    log_density = jax.vmap(lambda theta: fl.log_evidence(fl.Kalman(), family(theta), data) + family.log_prior(theta))(grid)
    exact = jax.nn.logsumexp(log_density) + jnp.log(grid[1, 0] - grid[0, 0])
    moment = jax.nn.softmax(log_density) @ jnp.concatenate([grid, grid**2], axis=1)

    def told(belief, evidence):
        mean, variance = belief.parameters.mean, belief.parameters.covariance[0]
        return evidence - exact, jnp.concatenate([mean, variance + mean**2])

    def one(key):
        learner = fl.Nested(inside(), 50, move)
        out = fl.run(learner, family, data, key=key, save=lambda belief, info: info.log_evidence)
        total, before = jnp.sum(out.saved), out.last
        if move is None:
            return told(before, total), ()
        after = learner.larger(NOISY).enlarged(family, before, NOISY, key=key)
        gain = after.record.log_evidence - before.record.log_evidence
        both = told(before, total), told(after, total + jax.nn.logsumexp(before.parameters.log_weights + gain))
        return *both, (before.record.noise, jnp.var(gain) / 1.5)  # 1 + 1 / 2, with twice the particles inside

    *both, noise = jax.lax.map(one, jax.random.split(KEY, 300))
    for evidence, found in both:
        for errors in (jnp.expm1(evidence)[:, None], jnp.exp(evidence)[:, None] * (found - moment)):
            assert (abs(errors.mean(0)) < 5 * errors.std(0, ddof=1) / np.sqrt(300)).all()
            assert (errors.std(0) < 2).all()  # enough is told: a flat answer would not pass for want of precision
    if move is not None:
        assert abs(jnp.mean(noise[0]) / jnp.mean(noise[1]) - 1) < 0.2  # the first measured a few data earlier


NESTED = tuple(name for name in LEARNERS if "nested" in name)


class Bounded(eqx.Module):
    """y = x + theta + e, whose sensor has this noise and this offset where theta > 0.5."""

    noise: jax.Array
    offset: jax.Array

    def __call__(self, p):
        level = fl.LinearSDE([[-0.5]], [[0.6]])
        where = lambda bad, good: jnp.where(p["theta"] > 0.5, bad, good)  # noqa: E731
        offset = p["theta"] + where(self.offset, 0.0)
        seen = fl.LinearGaussianObservation([[1.0]], where(self.noise, 0.5)[None, None], offset[None])
        return fl.StateSpaceModel(fl.Gaussian([0.2], 0.4, time=0.0), level, seen)


def bounded_family(noise, offset):
    """The family of `Bounded`, one trace for all."""
    build = Bounded(jnp.asarray(noise), jnp.asarray(offset))
    return fl.ModelFamily(build, {"theta": fl.Parameter(dist.Normal(0.0, 1.0), fl.RandomWalk(0.2))})


@pytest.mark.parametrize("name", NESTED)
def test_a_broken_parameter_weighs_nothing_and_poisons_nothing(name):
    """Where the model is not a number is as good as where the data are impossible."""
    data = fl.Dataset(np.arange(1.0, 13.0), np.random.default_rng(2).normal(size=12))
    broken, impossible = (
        fl.run(LEARNER(name), bounded_family(*each), data, key=KEY) for each in ((jnp.nan, jnp.nan), (0.5, 1e3))
    )
    assert (broken.beliefs.parameters.points[0] > 0.5).any()  # some were drawn there, and are kept until a resampling
    for one, two in zip(moments(broken.last, broken.info), moments(impossible.last, impossible.info), strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-9, atol=1e-9)
    assert all(jnp.isfinite(part).all() for part in (*broken.info.predicted, broken.info.pit))
    assert (broken.info.flags == 0).all()
    assert (broken.last.parameters.points[broken.last.parameters.weights > 0] <= 0.5).all()


def broken(name):
    """The family with sensors whose noise is not a number."""
    family, lost = family_of(name), jnp.asarray(np.full((2, 2), np.nan))
    if name in LEARNERS:
        return eqx.tree_at(lambda f: jax.tree.leaves(f.build)[0], family, lost)
    return family.altered(lambda model: eqx.tree_at(lambda m: m.observation.covariance, model, lost))


@pytest.mark.parametrize("name", MAKE)
def test_a_model_that_is_not_finite_is_flagged(name):
    """And a stream keeps its last good belief, if it was not lost."""
    session = fl.Session(LEARNER(name), broken(name), key=KEY)
    report = session.observe(1.0, [0.1, 0.2], [1.0, 1.0])
    assert set(report.flags) & {"not finite", "covariance lost", "weights collapsed"}
    assert all(np.isfinite(part).all() for part in (report.mean, report.covariance))
    assert np.isfinite(report.parameters["theta"]["quantiles"]).all()


def test_flags_of_the_filters_inside_are_raised():
    """Without a spread every ensemble inside is collapsed."""
    still = fl.run(LEARNER("nested_ensemble"), regression_family(), regression(0, 12)[0], key=KEY)
    assert (still.info.flags == fl.protocol.COLLAPSED).all()


@pytest.mark.parametrize("name", ["joint_extended", "joint_ensemble"])
def test_angles_wrap_inside_a_learner(name):
    """A bearing and its full turns are one datum: the difference is that of the family's own observation."""

    def build(p):
        seen = fl.GaussianObservation(
            lambda t, x, u: x, [[0.1]], lambda y, mean: jnp.arctan2(*[f(y - mean) for f in (jnp.sin, jnp.cos)])
        )
        return fl.StateSpaceModel(
            fl.Gaussian([3.0], 0.1, time=0.0), fl.LinearDiscrete([[1.0]], [[0.1]], p["drift"][None]), seen
        )

    family = fl.ModelFamily(build, {"drift": fl.Parameter(dist.Normal(0.1, 0.3))})
    turns = 2 * np.pi * np.array([0.0, -1.0, 1.0])
    near, far = (fl.Dataset([1.0, 2.0, 3.0], np.array([3.1, 3.3, 3.2]) + added) for added in (0.0, turns))
    one, two = (fl.run(LEARNER(name), family, data, key=KEY, save=moments).saved for data in (near, far))
    for ours, theirs in zip(one, two, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-9)


def test_parameters_of_an_ensemble_take_an_inflation_of_their_own():
    """One factor for each entry of (x, theta): to rounding."""
    data = fl.Dataset([1.0], [[0.3, 0.2]], [[1.0, 1.0]])
    factors = jnp.array([1.3, 1.0, 0.8])
    plain, own = (
        fl.run(fl.Joint(fl.EnsembleKalman(20, inflation=rule)), hidden_family(), data, key=KEY).last.stacked.members
        for rule in (1.0, fl.Multiplicative(factors))
    )
    np.testing.assert_allclose(own - own.mean(0), factors * (plain - plain.mean(0)), atol=1e-12)
