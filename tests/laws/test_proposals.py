"""Laws of the proposals of a particle filter, on models where the answer is known."""

import functools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import filterlearn as fl
from filterlearn.numerics.conditioning import drawn_given
from tests.cases import BRIDGES, PROPOSALS, hidden_family, hidden_model, linear_data, linear_model
from tests.laws.test_learners import hidden_data
from tests.oracles.dense import dense_filter

KEY = jax.random.key(0)


@functools.cache
def watched(noise):
    """The linear model with its sensors' covariance scaled, and twelve data drawn from it, a fifth missing, two at a time."""
    model, gaps = linear_model(), linear_data(12)
    model = eqx.tree_at(lambda m: m.observation.covariance, model, noise * model.observation.covariance)
    _, values = fl.simulate(model, gaps.times, key=jax.random.key(3))
    return model, fl.Dataset(gaps.times, jnp.where(jnp.isnan(gaps.values), jnp.nan, values))


def told(belief, info):
    return belief.mean, info.log_evidence


@functools.cache
def estimates(name, noise):
    """exp(estimate - exact) over 1,000 keys, 100 points, and that times the error of the last mean."""
    model, data = watched(noise)
    means, _, evidence = dense_filter(model, data)
    algorithm = fl.ParticleFilter(100, proposal=PROPOSALS[name]())

    def one(key):
        mean, terms = fl.run(algorithm, model, data, key=key, save=told).saved
        return jnp.sum(terms) - evidence.sum(), mean[-1] - means[-1]

    gap, error = jax.lax.map(one, jax.random.split(KEY, 1000), batch_size=100)
    ratio = np.exp(np.asarray(gap))[:, None]
    return ratio, ratio * np.asarray(error), np.asarray(gap)


@pytest.mark.parametrize("name", PROPOSALS)
def test_evidence_and_mean_are_unbiased(name):
    """Partly missing data, irregular and equal times; within five standard errors that are small enough to tell."""
    ratio, error, _ = estimates(name, 1.0)
    for sample in (ratio - 1, error):
        se = sample.std(0, ddof=1) / np.sqrt(len(sample))
        assert (abs(sample.mean(0)) < 5 * se).all()
        assert (se < 0.05).all()


@pytest.mark.parametrize("name", [name for name in PROPOSALS if "bootstrap" not in name and name != "learned"])
def test_a_precise_sensor_costs_little(name):
    """Noise of a tenth: the log evidence varies at most a tenth as much as blind points let it."""
    assert estimates(name, 0.01)[2].var() < 0.1 * estimates("bootstrap", 0.01)[2].var()


@pytest.mark.parametrize("shape", [(1, 3), (3, 2)])
def test_normals_given_a_datum_have_the_conditional_law(shape):
    """Mean, root and density ratio against dense algebra, in the space of the datum and in that of the normals."""
    rng = np.random.default_rng(1)
    slope, error, square = rng.normal(size=shape), rng.normal(size=shape[0]), rng.normal(size=(shape[0], shape[0]))
    noise, draw = square @ square.T, jax.jit(lambda white: drawn_given(*map(jnp.asarray, (error, slope, noise)), white))
    precision = np.eye(shape[1]) + slope.T @ np.linalg.solve(noise, slope)
    mean = np.linalg.solve(precision, slope.T @ np.linalg.solve(noise, error))
    np.testing.assert_allclose(draw(jnp.zeros(shape[1]))[0], mean, rtol=1e-10)
    white = rng.normal(size=shape[1])
    columns = np.stack([np.asarray(draw(row)[0]) - mean for row in np.eye(shape[1])], axis=1)
    np.testing.assert_allclose(columns @ columns.T, np.linalg.inv(precision), rtol=1e-10, atol=1e-12)
    z, ratio = draw(jnp.asarray(white))
    away = np.asarray(z) - mean
    density = 0.5 * (away @ precision @ away - z @ z) - 0.5 * np.linalg.slogdet(precision)[1]
    np.testing.assert_allclose(ratio, density, rtol=1e-10)


@pytest.mark.parametrize("name", ["guided", "auxiliary_guided"])
def test_streams_and_nothing_seen(name):
    """A session equals the scan; a datum that is all missing moves the points and adds nothing."""
    model, data = watched(1.0)
    algorithm = fl.ParticleFilter(50, proposal=PROPOSALS[name]())
    out = fl.run(algorithm, model, data, key=KEY)
    session = fl.Session(algorithm, model, key=KEY)
    for k in range(len(data)):
        report = session.observe(float(data.times[k]), np.asarray(data.values[k]))
        np.testing.assert_allclose(report.mean, out.mean[k], rtol=1e-9, atol=1e-9)
    np.testing.assert_array_equal(out.beliefs.log_weights[5], out.beliefs.log_weights[4])
    assert out.log_evidence[5] == 0
    assert (out.beliefs.points[5] != out.beliefs.points[4]).all()
    late, before = session.observe(0.0, [9.0, 9.0]), session.belief
    assert late.flags == ("late",)
    assert (session.belief.points == before.points).all()


def gaps(algorithm, problem, data, keys):
    """Estimates of the log evidence over some keys."""
    one = lambda key: fl.log_evidence(algorithm, problem, data, key=key)  # noqa: E731
    return np.asarray(jax.lax.map(one, jax.random.split(KEY, keys), batch_size=100))


def bent(steps):
    """A double well seen through its square, in Euler steps."""
    sde = fl.SDE(lambda t, x, u: 2 * x - 2 * x**3, jnp.array([0.8]))
    seen = fl.GaussianObservation(lambda t, x, u: x + 0.3 * x**2, jnp.array([[0.05]]))
    return fl.StateSpaceModel(fl.Gaussian([0.3], 0.4, time=0.0), fl.EulerMaruyama(sde, steps=steps), seen)


def by_grid(model, data):
    """The exact evidence of the scheme, by sums on nodes a third of the least scale apart, which err below rounding."""
    h = float(data.times[1] - data.times[0]) / model.transition.substeps
    x = np.linspace(-4.0, 4.0, 1 + int(24 / (0.8 * np.sqrt(h))))
    drift = x + h * (2 * x - 2 * x**3)
    move = np.exp(-0.5 * (x[:, None] - drift) ** 2 / (0.64 * h)) * (x[1] - x[0]) / np.sqrt(2 * np.pi * 0.64 * h)
    weights, total = np.exp(-0.5 * (x - 0.3) ** 2 / 0.4), 0.0
    weights /= weights.sum()
    for y in np.asarray(data.values)[:, 0]:
        prior = np.linalg.matrix_power(move, model.transition.substeps) @ weights
        joint = prior * np.exp(-0.5 * (y - x - 0.3 * x**2) ** 2 / 0.05) / np.sqrt(2 * np.pi * 0.05)
        total, weights = total + np.log(joint.sum()), joint / joint.sum()
    return total


@pytest.mark.parametrize(
    ("proposal", "steps"),
    [
        *((fl.Guided(), 1), (fl.Guided(fl.Unscented()), 1), (fl.Auxiliary(fl.Guided()), 1)),
        *((fl.ModifiedBridge(), 4), (fl.ResidualBridge(), 4)),
    ],
    ids=["guided", "unscented", "auxiliary", "bridge", "residual_bridge"],
)
def test_weights_make_up_for_the_linearisation(proposal, steps):
    """A curved drift and a curved sensor: exp(evidence) unbiased for the scheme's own law, and less noisy than blind."""
    model, times = bent(steps), np.arange(0.2, 2.1, 0.2)
    data = fl.Dataset(times, fl.simulate(model, times, key=jax.random.key(5))[1])
    ours = gaps(fl.ParticleFilter(50, proposal=proposal), model, data, 1000) - by_grid(model, data)
    assert abs(np.exp(ours).mean() - 1) < 5 * np.exp(ours).std() / np.sqrt(1000)
    assert ours.var() < 0.7 * gaps(fl.ParticleFilter(50), model, data, 200).var()


@pytest.mark.parametrize("name", BRIDGES)
def test_a_bridge_of_one_step_is_guided(name):
    model, data = watched(1.0)
    one, two = (fl.run(fl.ParticleFilter(20, proposal=p), model, data, key=KEY) for p in (fl.Guided(), BRIDGES[name]()))
    np.testing.assert_allclose(one.beliefs.points, two.beliefs.points, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(one.log_evidence, two.log_evidence, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", BRIDGES)
def test_bridges_keep_single_precision(name):
    narrow = lambda tree: jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float32), tree)  # noqa: E731
    model = eqx.tree_at(lambda m: m.transition.sde.diffusion, bent(4), jnp.array([0.8], jnp.float32))
    model = eqx.tree_at(lambda m: (m.initial, m.observation.covariance), model, replace_fn=narrow)
    algorithm, data = fl.ParticleFilter(20, proposal=BRIDGES[name]()), narrow(fl.Dataset([0.2, 0.4], [0.1, 0.3]))
    out = eqx.filter_eval_shape(lambda key: fl.run(algorithm, model, data, key=key).last, KEY)
    assert out.points.dtype == out.log_weights.dtype == jnp.float32


def test_a_residual_bridge_follows_a_bent_drift():
    """Logistic growth, a sensor of .02, gaps in which the drift turns: the residual is bridged with a fifth of the variance
    of the log evidence at most, both unbiased for the same number."""
    scheme = fl.EulerMaruyama(fl.SDE(lambda t, x, u: 3 * x * (1 - x), jnp.array([0.1])), steps=20)
    seen = fl.LinearGaussianObservation([[1.0]], [[4e-4]])
    model = fl.StateSpaceModel(fl.Gaussian([0.1], 1e-4, time=0.0), scheme, seen)
    data = fl.Dataset([1.0, 2.0], [0.65, 0.93])
    straight, bent = (gaps(fl.ParticleFilter(100, proposal=make()), model, data, 200) for make in BRIDGES.values())
    print(f"\nvariance of the log evidence: modified bridge {straight.var():.4f}, residual bridge {bent.var():.4f}")
    assert bent.var() < 0.2 * straight.var()
    se = np.hypot(*(np.exp(each).std() / np.sqrt(200) for each in (straight, bent)))
    assert abs(np.exp(straight).mean() - np.exp(bent).mean()) < 5 * se


class Optimal(eqx.Module):
    """The network that `Learned` would learn where the sensors' noises are independent."""

    model: fl.StateSpaceModel

    def __call__(self, x, y, dt, u):
        mean, factor = self.model.transition.moments(x, 0.0, dt, u)
        seen = self.model.observation.matrix / jnp.sqrt(jnp.diagonal(self.model.observation.covariance))[:, None]
        return y / jnp.sqrt(jnp.diagonal(self.model.observation.covariance)) - seen @ mean, seen @ factor


def test_the_best_that_can_be_learned_is_guided():
    """Points, evidence and guess, with missing entries and equal times; what is told before the datum is seen, within five
    standard errors of 200 draws of the transition."""
    model, data = watched(1.0)
    model = eqx.tree_at(lambda m: m.observation.covariance, model, jnp.diag(jnp.array([0.3, 0.2])))
    both = fl.Guided(), fl.Learned(Optimal(model))
    one, two = (fl.run(fl.ParticleFilter(200, proposal=each), model, data, key=KEY) for each in both)
    np.testing.assert_allclose(one.beliefs.points, two.beliefs.points, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(one.log_evidence, two.log_evidence, rtol=1e-9, atol=1e-9)
    mean, variance = one.info.predicted
    assert (abs(two.info.predicted[0] - mean) <= 5 * jnp.sqrt(variance / 200)).all()
    datum = fl.Datum(0.3, [0.5, jnp.nan])
    guesses = [eqx.filter_jit(each.lookahead)(model, one.last.points, 0.0, datum) for each in both]
    np.testing.assert_allclose(*guesses, rtol=1e-9)


@pytest.mark.parametrize(
    ("learner", "size"), [(fl.Joint, 30), (lambda inside: fl.Nested(inside, 100, move=None), 3)], ids=["joint", "nested"]
)
def test_learners_take_the_proposal_along(learner, size):
    """Unbiased with a moving parameter, where blind points would vary more."""
    data = hidden_data(1, 12)
    ours, blind = (
        gaps(learner(fl.ParticleFilter(size, proposal=each)), hidden_family(), data, 400)
        for each in (fl.Guided(), fl.Bootstrap())
    )
    ratio = np.exp(ours - dense_filter(hidden_model(), data)[2].sum())
    assert abs(ratio.mean() - 1) < 5 * ratio.std() / np.sqrt(400)
    assert ours.var() < 0.8 * blind.var()


def test_a_perceptron_reads_inputs():
    """Error and slope of the sizes asked for, which move with u."""
    network = eqx.filter_jit(fl.Perceptron(2, 1, inputs=3, noises=4, depth=0, key=KEY))
    error, slope = network(jnp.ones(2), jnp.ones(1), 0.5, jnp.zeros(3))
    assert error.shape == (1,)
    assert slope.shape == (1, 4)
    assert (network(jnp.ones(2), jnp.ones(1), 0.5, jnp.ones(3))[1] != slope).all()
