"""Online variational filtering: states, pairs and scores against exact ones, and what each guide and regression can do."""

import functools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import optax
import pytest

import filterlearn as fl
from examples.variational_smoothing import divergence, exact
from tests.cases import REGRESSIONS
from tests.oracles.test_recursive_ml import adding_up

KEY = jax.random.key(0)


def build(p):
    """Two states that turn, seen together by two sensors."""
    step = fl.LinearDiscrete(p["matrix"], [[0.3, 0.1], [0.1, 0.2]])
    seen = fl.LinearGaussianObservation([[1.0, 0.5], [0.0, 1.0]], p["noise"] * jnp.eye(2))
    return fl.StateSpaceModel(fl.Gaussian([1.0, -1.0], [[0.5, 0.1], [0.1, 0.4]], time=0.0), step, seen)


@functools.cache
def linear():
    """(family, data)."""
    priors = {"matrix": dist.Normal(jnp.array([[0.8, 0.3], [-0.4, 0.7]]), 1.0), "noise": dist.LogNormal(-1.0, 0.5)}
    family = fl.ModelFamily(build, {name: fl.Parameter(prior) for name, prior in priors.items()})
    times = np.arange(1.0, 16.0)
    return family, fl.Dataset(times, fl.simulate(family(family.median), times, key=KEY)[1])


def test_linear_gaussian_models_are_exact():
    """At a frozen theta: means, the law of the last two states, the evidence, and the sum of the scores, which is the
    gradient of the log evidence. What is left is the error of the fits: a hundredth of that of a quarter of the steps."""
    family, data = linear()
    learner = fl.OnlineVariational(fl.FullRank(), adding_up(), iterations=200, draws=8, size=12)
    ours = fl.run(learner, family, data, key=KEY)
    joint, means = exact(family, data)
    mean, covariance = (np.asarray(part) for part in learner.pair(ours.last))
    assert divergence((mean, covariance), joint) < 1e-5
    np.testing.assert_allclose(ours.mean, means, atol=1e-3)
    evidence, score = jax.value_and_grad(lambda theta: fl.log_evidence(fl.Kalman(), family(theta), data))(family.median)
    np.testing.assert_allclose(ours.info.log_evidence.sum(), evidence, atol=3e-3)
    np.testing.assert_allclose(ours.last.past.optimiser, score, atol=1e-3 * abs(score).max())


def test_mean_field_has_the_variances_of_each_given_the_others():
    """One datum at the start: the best independent Gaussian has the exact mean and the inverse of the precision's diagonal;
    a gradient of 256 draws, at gains that fall to 0, leaves .002."""
    family, data = linear()

    def flat(values):
        model = build(values)
        start = fl.Gaussian([1.0, -1.0], [[0.5, 0.0], [0.0, 0.4]], time=0.0)
        return fl.StateSpaceModel(start, model.transition, model.observation)

    alone = fl.ModelFamily(flat, family.parameters)
    first = fl.Datum(jnp.asarray(0.0), data.values[0])
    learner = fl.OnlineVariational(fl.MeanField(), optax.set_to_zero(), iterations=400, draws=256, size=12)
    ours, _ = eqx.filter_jit(learner.update)(alone, learner.init(alone, key=KEY), first, key=KEY)
    start = fl.Kalman().init(alone(alone.median))
    whole, _ = fl.Kalman().update(alone(alone.median), start, first)
    np.testing.assert_allclose(ours.mean, whole.mean, atol=2e-3)
    variance = 1.0 / jnp.diagonal(jnp.linalg.inv(whole.covariance))
    np.testing.assert_allclose(ours.covariance, jnp.diag(variance), atol=2e-3)


def bent(p):
    """A step whose way back is curved: x' = x + x^3 + e."""
    step = fl.Discrete(lambda t, x, u: x + x**3, p["noise"][None, None] ** 2)
    seen = fl.LinearGaussianObservation([[1.0]], [[1.0]])
    return fl.StateSpaceModel(fl.Gaussian([0.0], 1.0, time=0.0), step, seen)


def test_a_network_bends_the_kernel():
    """The mean of x_0 given x_1, against a grid: a third of the error of the best line."""
    family = fl.ModelFamily(bent, {"noise": fl.Parameter(dist.Normal(0.5, 0.1))})
    ahead = jnp.linspace(-8.0, 8.0, 41)
    grid = jnp.linspace(-5.0, 5.0, 2001)
    weights = jax.nn.softmax(-0.5 * grid**2 - 0.5 * ((ahead[:, None] - grid - grid**3) / 0.5) ** 2, axis=1)

    exact = weights @ grid
    law = jnp.exp(-0.5 * ahead**2 / 22)  # of the prediction, whose variance is 22
    line = jnp.polyval(jnp.polyfit(ahead, exact, 1, w=jnp.sqrt(law)), ahead)
    learner = fl.OnlineVariational(fl.NetworkGuide(16), optax.set_to_zero(), iterations=300, draws=64, size=20)
    after = eqx.filter_jit(learner.predict)(family, learner.init(family, key=KEY), jnp.asarray(1.0), key=KEY)
    ours = jax.vmap(lambda x: learner.earlier(after, x, jnp.zeros(1)))(ahead[:, None])[:, 0]
    near, far = (jnp.sqrt(jnp.mean((mean - exact) ** 2)) for mean in (ours, line))
    assert near < far / 3


@pytest.mark.parametrize("name", REGRESSIONS)
def test_regressions_recover_affine_functions(name):
    """To rounding, from as few points as they need."""
    made, n = REGRESSIONS[name](), 3
    points, slope = jax.random.normal(KEY, (made.least(n), n)), jnp.arange(8.0).reshape(4, 2)
    ours = jax.jit(lambda values: made.at(made.fitted(points, values), jnp.ones(n)))(points @ slope[:n] + slope[n])
    np.testing.assert_allclose(ours, slope.sum(0), rtol=1e-6)


def test_kernel_ridge_finds_a_wave():
    """Its error from 400 points is half of that from 50."""
    made, there = fl.KernelRidge(), jnp.linspace(-1.5, 1.5, 31)[:, None]

    def error(size):
        points = jax.random.normal(KEY, (size, 1))
        kept = made.fitted(points, jnp.sin(3 * points))
        return jnp.max(abs(jax.vmap(lambda x: made.at(kept, x))(there) - jnp.sin(3 * there)))

    few, many = jax.jit(lambda: (error(50), error(400)))()
    assert many < few / 2 < 0.1
