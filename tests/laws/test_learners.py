"""Laws of learners, on families where the answer is known."""

import functools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest

import filterlearn as fl
from tests.cases import HIDDEN_NOISE, LEARNERS, NARROW_LEARNERS, hidden_family, hidden_model, regression_family, walking
from tests.oracles.dense import dense_filter

KEY = jax.random.key(0)
FAMILIES = {"regression": functools.cache(regression_family), "hidden": functools.cache(hidden_family)}
FAMILY_OF = dict.fromkeys(LEARNERS, hidden_family) | {name: family for name, (_, family) in NARROW_LEARNERS.items()}
MAKE = {name: make for name, (make, _) in (LEARNERS | NARROW_LEARNERS).items()}
EXACT = ("joint_extended", "joint_sigma_point")  # where (x, theta) is linear
SMOOTH = (*EXACT, "joint_ensemble", "recursive_kalman")  # at a fixed key
ONE_BY_ONE = tuple(name for name in LEARNERS if "ensemble" not in name)  # draw as much for one sensor as for two


def regression(seed, length=300):
    """A6's data, unit gaps and three inputs, and its theta."""
    rng = np.random.default_rng(seed)
    inputs = rng.normal(size=(length, 3))
    theta = rng.normal(size=3) + np.cumsum(0.1 * rng.normal(size=(length, 3)), 0)
    return fl.Dataset(np.arange(float(length)), (inputs * theta).sum(1) + rng.normal(size=length), inputs), theta


def hidden_data(seed, length=300, missing=0.2, scale=0.3):
    """Irregular times, one of them twice, a fifth of the entries missing; the level relaxes in exact steps."""
    rng = np.random.default_rng(seed)
    gaps = rng.uniform(0.05, 0.6, length)
    gaps[10] = 0.0
    inputs, noise = rng.normal(size=(length, 2)), rng.normal(size=(length, 2)) @ np.linalg.cholesky(HIDDEN_NOISE).T
    theta = np.array([0.5, -0.5]) + rng.normal(size=2)
    theta = theta + np.cumsum(scale * np.sqrt(gaps)[:, None] * rng.normal(size=(length, 2)), 0)
    level, levels = 0.2, []
    for h, e in zip(gaps, rng.normal(size=length), strict=True):
        level = np.exp(-0.5 * h) * level + 0.6 * np.sqrt(1 - np.exp(-h)) * e
        levels.append(level)
    values = np.stack([np.array(levels) + (inputs * theta).sum(1), levels], 1) + noise
    values[rng.uniform(size=values.shape) < missing] = np.nan
    values[5] = np.nan
    return fl.Dataset(np.cumsum(gaps), values, inputs)


DATA = {"regression": lambda seed: regression(seed)[0], "hidden": hidden_data}


def moments(belief, info):
    """What a law compares: parameters and state, by their moments, and the evidence."""
    both = (belief.parameters.mean, belief.parameters.covariance, belief.mean, belief.covariance)
    return (*both, info.log_evidence)


@functools.cache
def family_of(name):
    """The family that a law tries a learner on."""
    return FAMILY_OF[name]()


def run(name, data, key=KEY):
    """One trace for all the laws that look at twelve data."""
    return fl.run(MAKE[name](), family_of(name), data, key=key, save=moments)


def filtered(name, data, key=KEY):
    return run(name, data, key).saved


@pytest.mark.parametrize("name", EXACT)
def test_joint_equals_the_dense_gaussian(name):
    """Linear in (x, theta) together: 1e-9 is the rounding of the dense solves."""
    data = hidden_data(1, 60)
    mean, covariance, evidence = dense_filter(hidden_model(), data)
    out = filtered(name, data)
    np.testing.assert_allclose(out[0], mean[:, 1:], atol=1e-9)
    np.testing.assert_allclose(out[1], covariance[:, 1:, 1:], atol=1e-9)
    np.testing.assert_allclose(out[2], mean[:, :1], atol=1e-9)
    np.testing.assert_allclose(out[3], covariance[:, :1, :1], atol=1e-9)
    np.testing.assert_allclose(out[4], evidence, atol=1e-9)


@pytest.mark.parametrize("problem", FAMILIES)
@pytest.mark.parametrize("name", LEARNERS)
def test_tracks_moving_parameters(name, problem):
    """Squared error over the exact posterior variance (CI form of A6). The error of the exact mean is orthogonal to whatever
    the data tell, so the ratio is 1 + E |m - exact m|^2 / E tr P: no need to meet the truth, and no noise from it."""
    make, bound = LEARNERS[name]
    excess = exact_variance = own_variance = 0.0
    for seed in range(2):
        data, family = DATA[problem](seed), FAMILIES[problem]()
        exact = fl.run(fl.Joint(fl.ExtendedKalman()), family, data, save=moments).saved
        ours = fl.run(make(), family, data, key=jax.random.key(seed), save=moments).saved
        excess += np.sum((ours[0] - exact[0])[50:] ** 2)
        exact_variance += np.trace(exact[1][50:], axis1=1, axis2=2).sum()
        own_variance += np.trace(ours[1][50:], axis1=1, axis2=2).sum()
    assert 1 + excess / exact_variance < bound
    assert 1 / bound < own_variance / exact_variance < bound


@pytest.mark.parametrize("name", MAKE)
def test_streams_saves_and_resumes(name, tmp_path):
    """The stream equals the scan up to rounding (samples keep their ancestors on this key); resumed, itself to the bit."""
    make, family, data = MAKE[name], family_of(name), hidden_data(9, 12)
    scan = filtered(name, data)
    straight, halved = (fl.Session(make(), family, key=KEY) for _ in range(2))
    for k in range(12):
        datum = float(data.times[k]), np.asarray(data.values[k]), np.asarray(data.inputs[k])
        if k == 6:
            halved.save(tmp_path / "stream.npz")
            halved = fl.Session.load(tmp_path / "stream.npz", make(), family)
        one, two = straight.observe(*datum), halved.observe(*datum)
        np.testing.assert_allclose(one.mean, scan[2][k], rtol=1e-9, atol=1e-9)
        np.testing.assert_allclose(straight.belief.parameters.mean, scan[0][k], rtol=1e-9, atol=1e-9)
        np.testing.assert_allclose(one.log_evidence, scan[4][k], rtol=1e-9, atol=1e-9)
    assert one.log_evidence == two.log_evidence
    assert one.parameters["theta"]["quantiles"].shape == (3, 2)
    pairs = zip(jax.tree.leaves(straight.belief), jax.tree.leaves(halved.belief), strict=True)
    assert all((np.asarray(a) == np.asarray(b)).all() for a, b in pairs)
    np.testing.assert_array_equal(one.parameters["theta"]["mean"], two.parameters["theta"]["mean"])


def predicted(name):
    """A learner, its belief after twelve data and a prediction, and that time."""
    learner, family, data = MAKE[name](), family_of(name), hidden_data(9, 12)
    after, time = run(name, data).last, data.times[-1] + 0.4
    return learner, family, eqx.filter_jit(learner.predict)(family, after, time, jnp.ones(2), key=KEY), time


@pytest.mark.parametrize("name", MAKE)
def test_nothing_seen_changes_nothing(name):
    """To the bit: no weighing, no resampling, no move, no inflation."""
    learner, family, before, time = predicted(name)
    nothing = fl.Datum(time, jnp.full(2, jnp.nan), jnp.ones(2))
    after, info = eqx.filter_jit(learner.update)(family, before, nothing, key=KEY)
    assert info.log_evidence == 0
    assert info.flags == 0
    assert all((a == b).all() for a, b in zip(jax.tree.leaves(before), jax.tree.leaves(after), strict=True))


@pytest.mark.parametrize("name", MAKE)
def test_no_time_changes_nothing(name):
    learner, family, before, time = predicted(name)
    again = eqx.filter_jit(learner.predict)(family, before, time, jnp.ones(2), key=jax.random.key(1))
    for old, new in zip(jax.tree.leaves(before), jax.tree.leaves(again), strict=True):
        np.testing.assert_allclose(new, old, rtol=0, atol=1e-14)


@pytest.mark.parametrize("name", ONE_BY_ONE)
def test_a_missing_sensor_is_as_if_it_were_not_there(name):
    make, data = MAKE[name], hidden_data(9, 12)
    missing = fl.Dataset(data.times, data.values.at[:, 1].set(jnp.nan), data.inputs)
    absent = fl.Dataset(data.times, data.values[:, :1], data.inputs)
    without = fl.run(make(), hidden_family(sensors=(0,)), absent, key=KEY, save=moments).saved
    for one, two in zip(filtered(name, missing), without, strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", MAKE)
def test_the_future_changes_nothing_before_it(name):
    """To the bit."""
    data = hidden_data(9, 12)
    surprised = fl.Dataset(data.times, data.values.at[8:].set(1e6), data.inputs)
    for one, two in zip(filtered(name, data), filtered(name, surprised), strict=True):
        assert (one[:8] == two[:8]).all()


@pytest.mark.parametrize("name", MAKE)
def test_vmap_over_keys_equals_the_loop(name):
    data, keys = hidden_data(9, 12), jax.random.split(KEY, 3)
    loop = [filtered(name, data, key) for key in keys]
    together = eqx.filter_vmap(lambda key: filtered(name, data, key))(keys)
    for part, each in zip(together, zip(*loop, strict=True), strict=True):
        np.testing.assert_allclose(part, jnp.stack(each), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", MAKE)
def test_traces_once(name):
    """Other keys, other scales of motion, and whatever kind of number a stream brings."""
    family, data, traces = FAMILY_OF[name](), hidden_data(9, 12), []
    counted = family.altered(lambda model: (traces.append(name), model)[1])
    learner, counts = MAKE[name](), []
    for k in range(3):
        moved = eqx.tree_at(lambda f: f.sd, counted, counted.sd * (1 + 0.1 * k))
        moved = walking(moved, jnp.asarray(0.2 + 0.1 * k)) if name in LEARNERS else moved
        assert jnp.isfinite(fl.log_evidence(learner, moved, data, key=jax.random.key(k)))
        counts.append(len(traces))
    session = fl.Session(learner, counted, key=KEY)
    for time, value in ((1, [1, 0]), (2, [0.3, 0.1]), (np.float32(3), [np.nan, 0.3]), (jnp.asarray(3.0), [np.nan] * 2)):
        session.observe(time, value, np.ones(2))
        counts.append(len(traces))
    assert counts[0] == counts[2] > 0
    assert counts[3] == counts[-1]


def narrow(tree):
    """The same in single precision."""
    return jax.tree.map(lambda x: jnp.asarray(x, jnp.float32) if eqx.is_inexact_array(x) else x, tree)


@pytest.mark.parametrize("name", MAKE)
def test_single_precision_stays_single(name):
    """The deterministic learner to rounding; the others draw other numbers, and keep their law as their filter does."""
    family, data = narrow(family_of(name)).altered(narrow), narrow(hidden_data(9, 12))
    out = fl.run(MAKE[name](), family, data, key=KEY, save=moments).saved
    assert all(part.dtype == jnp.float32 for part in out)
    if name in EXACT:  # a dozen steps of some ten roundings each, on numbers below 10
        for one, two in zip(out, filtered(name, hidden_data(9, 12)), strict=True):
            np.testing.assert_allclose(one, two, atol=12 * 10 * 10 * np.finfo(np.float32).eps)


@pytest.mark.parametrize("name", SMOOTH)
def test_gradient_matches_finite_differences(name):
    data, learner = hidden_data(9, 12), MAKE[name]()

    def evidence(scale):
        return fl.log_evidence(learner, walking(family_of(name), scale), data, key=KEY)

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
    [(fl.Kalman, None), (lambda: fl.ParticleFilter(20), None), (lambda: fl.ParticleFilter(20), fl.Rejuvenation(12, moves=1))],
    ids=["kalman", "particle", "particle_rejuvenated"],
)
def test_nested_equals_a_grid_over_a_still_parameter(inside, move):
    """exp(log evidence), and the posterior's mean and second moment weighed by it, are unbiased whatever the sizes inside and
    outside, where nothing moves, and to O(1 / size) where moves over the data are fitted to the particles: 300 keys against
    the exact evidence on a grid, within five standard errors."""
    family, rng = sliding_family(), np.random.default_rng(4)
    times = np.cumsum(rng.uniform(0.1, 0.5, 12))
    data = fl.Dataset(times, 2 * np.exp(-0.7 * times) + 0.7 * rng.normal(size=12))
    grid = jnp.linspace(-5.0, 5.0, 2001)[:, None]
    log_density = jax.vmap(lambda theta: fl.log_evidence(fl.Kalman(), family(theta), data) + family.log_prior(theta))(grid)
    exact = jax.nn.logsumexp(log_density) + jnp.log(grid[1, 0] - grid[0, 0])
    moment = jax.nn.softmax(log_density) @ jnp.concatenate([grid, grid**2], axis=1)

    def one(key):
        out = fl.run(fl.Nested(inside(), 50, move), family, data, key=key, save=moments)
        first, second = out.saved[0][-1], out.saved[1][-1, 0]
        return jnp.sum(out.saved[4]) - exact, jnp.concatenate([first, second + first**2])

    evidence, found = jax.lax.map(one, jax.random.split(KEY, 300))
    for errors in (jnp.expm1(evidence)[:, None], jnp.exp(evidence)[:, None] * (found - moment)):
        assert (abs(errors.mean(0)) < 5 * errors.std(0, ddof=1) / np.sqrt(300)).all()
        assert (errors.std(0) < 2).all()  # enough is told: a flat answer would not pass for want of precision


NESTED = tuple(name for name in LEARNERS if "nested" in name)


def bounded_family(noise, offset):
    """y = x + theta + e, whose sensor has this noise and this offset where theta > 0.5."""

    def build(p):
        level = fl.LinearSDE([[-0.5]], [[0.6]])
        where = lambda bad, good: jnp.where(p["theta"] > 0.5, bad, good)  # noqa: E731
        seen = fl.LinearGaussianObservation([[1.0]], where(noise, 0.5)[None, None], (p["theta"] + where(offset, 0.0))[None])
        return fl.StateSpaceModel(fl.Gaussian([0.2], 0.4, time=0.0), level, seen)

    return fl.ModelFamily(build, {"theta": fl.Parameter(dist.Normal(0.0, 1.0), fl.RandomWalk(0.2))})


@pytest.mark.parametrize("name", NESTED)
def test_a_broken_parameter_weighs_nothing_and_poisons_nothing(name):
    """Where the model is not a number is as good as where the data are impossible."""
    data = fl.Dataset(np.arange(1.0, 13.0), np.random.default_rng(2).normal(size=12))
    broken, impossible = (
        fl.run(MAKE[name](), bounded_family(*each), data, key=KEY) for each in ((jnp.nan, jnp.nan), (0.5, 1e3))
    )
    assert (broken.beliefs.parameters.points[0] > 0.5).any()  # some were drawn there, and are kept until a resampling
    for one, two in zip(moments(broken.last, broken.info), moments(impossible.last, impossible.info), strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-9, atol=1e-9)
    assert all(jnp.isfinite(part).all() for part in (*broken.info.predicted, broken.info.pit))
    assert (broken.info.flags == 0).all()
    assert (broken.last.parameters.points[broken.last.parameters.weights > 0] <= 0.5).all()


@pytest.mark.parametrize("name", MAKE)
def test_a_model_that_is_not_finite_is_flagged(name):
    """And a stream keeps its last good belief, if it was not lost."""
    broken = family_of(name).altered(
        lambda model: eqx.tree_at(lambda m: m.observation.covariance, model, jnp.full((2, 2), jnp.nan))
    )
    session = fl.Session(MAKE[name](), broken, key=KEY)
    report = session.observe(1.0, [0.1, 0.2], [1.0, 1.0])
    assert set(report.flags) & {"not finite", "covariance lost", "weights collapsed"}
    assert all(np.isfinite(part).all() for part in (report.mean, report.covariance))
    assert np.isfinite(report.parameters["theta"]["quantiles"]).all()


def test_flags_of_the_filters_inside_are_raised():
    """Without a spread every ensemble inside is collapsed."""
    still = fl.run(LEARNERS["nested_ensemble"][0](), FAMILIES["regression"](), regression(0, 12)[0], key=KEY)
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
    one, two = (fl.run(MAKE[name](), family, data, key=KEY, save=moments).saved for data in (near, far))
    for ours, theirs in zip(one, two, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-9)
