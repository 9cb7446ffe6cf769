"""The learner of many parameters against the exact posterior and against dense algebra."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest

import filterlearn as fl
from filterlearn.streams.parameters import named_parameters
from tests.cases import hidden_family
from tests.laws.test_learners import hidden_data, moments

RNG = np.random.default_rng(3)
MOTIONS = {
    "moving": (fl.Static(), fl.RandomWalk(0.2), fl.OrnsteinUhlenbeck(5.0, 0.7)),
    "forgetting": (fl.Forgetting(5.0), fl.Forgetting(5.0), fl.Forgetting(5.0)),
}


def regression(motions):
    """y = u'theta + e, and nothing hidden."""

    def build(p):
        still = fl.LinearDiscrete([[0.0]], [[0.0]])
        theta = jnp.stack([p["a"], p["b"], p["c"]])
        seen = fl.LinearGaussianObservation([[0.0]], [[0.5]], lambda t, u: (u @ theta)[None])
        return fl.StateSpaceModel(fl.Gaussian([0.0], 0.0), still, seen)

    priors = [dist.Normal(0.3, 1.0), dist.Normal(1.0, 2.0), dist.Normal(0.0, 0.5)]
    return fl.ModelFamily(build, {name: fl.Parameter(*each) for name, *each in zip("abc", priors, motions, strict=True)})


@pytest.mark.parametrize("motions", MOTIONS)
def test_full_rank_is_the_exact_posterior_of_a_regression(motions):
    """1e-11 is rounding."""
    inputs = RNG.normal(size=(40, 3))
    values = inputs @ np.array([1.0, -2.0, 0.5]) + RNG.normal(size=40)
    data = fl.Dataset(np.cumsum(RNG.uniform(0.1, 2.0, 40)), values, inputs)
    learners = fl.LowRank(fl.Kalman(), 3), fl.Joint(fl.ExtendedKalman())
    save = lambda belief, info: (belief.parameters.mean, belief.parameters.covariance)  # noqa: E731
    ours, exact = (fl.run(each, regression(MOTIONS[motions]), data, save=save).saved for each in learners)
    for one, two in zip(ours, exact, strict=True):
        np.testing.assert_allclose(one, two, atol=1e-11)


def test_full_rank_is_the_natural_gradient():
    """Where the state is hidden, the noise unknown too, and more columns than parameters: 1e-9 is rounding."""
    plain, data, inside = hidden_family(), hidden_data(9, 12), fl.ExtendedKalman()

    def build(p):
        noise = jnp.exp(p["noise"]) * jnp.eye(2)
        return eqx.tree_at(lambda m: m.observation.covariance, plain.build({"theta": p["theta"]}), noise)

    family = fl.ModelFamily(build, {**plain.parameters, "noise": fl.Parameter(dist.Normal(-1.0, 0.5))})
    learners = fl.LowRank(inside, 5), fl.RecursiveMaximumLikelihood(inside, fl.natural_gradient())
    ours, exact = (fl.run(each, family, data, save=moments).saved for each in learners)
    for one, two in zip(ours, exact, strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-9, atol=1e-9)


def thick(p=12, r=3):
    """A belief and its dense precision."""
    belief = fl.LowRankGaussian(
        *map(jnp.asarray, (RNG.normal(size=p), RNG.uniform(0.5, 4.0, p), RNG.normal(size=(p, r)))), 0.0
    )
    return belief, np.diag(belief.diagonal) + belief.columns @ belief.columns.T


def test_what_is_cut_keeps_the_diagonal_of_the_precision():
    """The mean takes the whole information; the columns kept are the best of their number, relative to D (Eckart & Young)."""
    belief, precision = thick()
    score, factor = RNG.normal(size=12), RNG.normal(size=(12, 2))
    new, whole = belief.informed(jnp.asarray(score), jnp.asarray(factor)), precision + factor @ factor.T
    np.testing.assert_allclose(new.mean, belief.mean + np.linalg.solve(whole, score), rtol=1e-12)
    np.testing.assert_allclose(new.diagonal + np.sum(new.columns**2, 1), np.diag(whole), rtol=1e-12)
    root = np.sqrt(belief.diagonal)
    values, vectors = np.linalg.eigh((whole - np.diag(belief.diagonal)) / np.outer(root, root))
    best = (vectors[:, -3:] * values[-3:]) @ vectors[:, -3:].T * np.outer(root, root)
    np.testing.assert_allclose(new.columns @ new.columns.T, best, atol=1e-11)
    assert values[-4] > 0.5  # something was cut


def test_motion_and_forgetting_are_exact():
    belief, precision = thick()
    slope, sd, mean = RNG.uniform(0.2, 1.0, 12), np.where(np.arange(12) % 3, RNG.uniform(0.1, 1.0, 12), 0.0), jnp.ones(12)
    moved = belief.moved(mean, jnp.asarray(slope), jnp.asarray(sd), 1.0)
    dense = slope[:, None] * np.linalg.inv(precision) * slope + np.diag(sd**2)
    np.testing.assert_allclose(moved.covariance, dense, atol=1e-12)
    np.testing.assert_allclose(moved.variance, np.diag(dense), rtol=1e-11)
    kept, prior = RNG.uniform(0.1, 1.0, 12), RNG.uniform(0.5, 2.0, 12)
    forgotten = belief.tempered(jnp.asarray(kept), mean, jnp.asarray(prior))
    pull = np.diag((1 - kept) / prior**2)
    dense = np.sqrt(np.outer(kept, kept)) * precision + pull
    np.testing.assert_allclose(forgotten.covariance, np.linalg.inv(dense), atol=1e-12)
    np.testing.assert_allclose(forgotten.mean, belief.mean + np.linalg.solve(dense, pull @ (mean - belief.mean)), rtol=1e-11)


def drifting(width):
    """Two states moved by a network, the first seen."""
    network = eqx.nn.MLP(2, 2, width, 2, jnp.tanh, key=jax.random.key(0))

    def build(net, values):
        scheme = fl.RungeKutta(fl.SDE(lambda t, x, u: net(x), jnp.array([0.3, 0.3])), steps=1)
        return fl.StateSpaceModel(
            fl.Gaussian([1.0, 0.0], 0.1, time=0.0), scheme, fl.LinearGaussianObservation([[1.0, 0.0]], [[0.1]])
        )

    return fl.ModelFamily.from_module(network, build, where=lambda net: net, scale=0.3, dynamics=fl.RandomWalk(0.01))


def sizes(jaxpr):
    """The numbers of elements of all that a program makes, inside its loops too."""
    for equation in jaxpr.eqns:
        yield from (variable.aval.size for variable in equation.outvars)
        for inner in jax.tree.leaves(equation.params, is_leaf=lambda each: hasattr(each, "eqns") or hasattr(each, "jaxpr")):
            inner = getattr(inner, "jaxpr", inner)
            yield from sizes(inner) if hasattr(inner, "eqns") else ()


def test_a_step_and_a_report_make_no_matrix_of_weights_by_weights():
    """2,018 weights and 40 columns: nothing in the program of a step has the size of what the belief holds, twice over."""
    family, learner = drifting(42), fl.LowRank(fl.ExtendedKalman(), 40)

    def step(value):
        belief = learner.init(family)
        return fl.step(learner, family, belief, fl.Datum(jnp.asarray(1.0), value))[0]

    program, shape = eqx.filter_make_jaxpr(step)(jnp.ones(1))[:2]
    assert family.size == 2018
    assert max(sizes(program.jaxpr)) <= 2 * family.size * (40 + 8)
    report = eqx.filter_make_jaxpr(named_parameters)(family, shape, jax.random.key(0))[0]
    assert max(sizes(report.jaxpr)) < family.size**2
