"""Recursive maximum likelihood: scores, tangents and information against exact ones."""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import optax
import pytest

import filterlearn as fl
from tests.cases import linear_data, linear_model

KEY = jax.random.key(0)
FILTERS = {
    "kalman": fl.Kalman,
    "extended": fl.ExtendedKalman,
    "sigma_point": fl.SigmaPoint,
    "ensemble": lambda: fl.EnsembleKalman(20),
}


def everything_unknown():
    """The linear model with its start, drift, noises and offset all parameters."""

    def build(p):
        model = linear_model()
        start = fl.Gaussian(p["start"], 0.5 * jnp.eye(2), time=0.0)
        transition = fl.LinearSDE(p["drift"], p["noise"] * jnp.eye(2), jnp.array([0.1, -0.2]))
        seen = fl.LinearGaussianObservation(model.observation.matrix, jnp.diag(p["sensors"] ** 2), p["offset"])
        return fl.StateSpaceModel(start, transition, seen)

    priors = {
        "start": dist.Normal(jnp.array([1.0, -1.0]), 1.0),
        "drift": dist.Normal(jnp.array([[-0.4, 0.3], [-0.2, -0.6]]), 1.0),
        "noise": dist.LogNormal(-1.0, 0.5),
        "sensors": dist.LogNormal(jnp.array([-0.5, -1.0]), 0.5),
        "offset": dist.Normal(jnp.zeros(2), 1.0),
    }
    return fl.ModelFamily(build, {name: fl.Parameter(prior) for name, prior in priors.items()})


def adding_up():
    """An optimiser that moves nothing and keeps the sum of the scores."""
    return optax.GradientTransformation(jnp.zeros_like, lambda g, state, params=None: (jnp.zeros_like(g), state - g))


@pytest.mark.parametrize("name", FILTERS)
def test_scores_and_tangents_are_exact_at_a_frozen_theta(name):
    """Their sum is the gradient of the log evidence, the tangent that of the last belief's mean, both by reverse mode through
    the whole series: 1e-9 is rounding."""
    family, data = everything_unknown(), linear_data(12)
    last = fl.run(fl.RecursiveMaximumLikelihood(FILTERS[name](), adding_up()), family, data, key=KEY).last

    def whole(theta):
        out = fl.run(FILTERS[name](), family(theta), data, key=KEY, save=lambda belief, info: info.log_evidence)
        return jnp.append(out.last.mean, out.saved.sum())

    exact = jax.jacrev(whole)(family.median)
    ours = jax.vmap(lambda d: jax.jvp(lambda b: b.mean, (last.state,), (d,))[1])(last.tangent)
    np.testing.assert_allclose(jnp.append(ours, last.optimiser[:, None], axis=1).T, exact, rtol=1e-9, atol=1e-9)


def test_information_is_that_of_the_predicted_laws():
    """P^-1 grows by E[score score'], here averaged over 40,000 draws of some data given those before them."""
    family, data = everything_unknown(), linear_data(12)
    learner = fl.RecursiveMaximumLikelihood(fl.Kalman(), adding_up())
    beliefs = fl.run(learner, family, data).beliefs
    precision = jnp.linalg.inv(beliefs.parameters.covariance)
    grown = jnp.diff(precision, axis=0, prepend=jnp.diag(1 / family.sd**2)[None])
    np.testing.assert_allclose(grown[5], 0.0, atol=1e-7)  # nothing was seen

    @jax.jit
    def score(belief, time, value):
        return learner.update(family, belief, fl.Datum(time, value))[0].optimiser - belief.optimiser

    for k in (0, 3, 9):
        before = learner.init(family) if k == 0 else jax.tree.map(lambda leaf, k=k: leaf[k - 1], beliefs)
        ahead = learner.predict(family, before, data.times[k])
        model = family(family.median).resolve()
        h, offset, r = model.observation.linear(data.times[k], None)
        law = fl.Gaussian(h @ ahead.state.mean + offset, h @ ahead.state.covariance @ h.T + r)
        draws = jnp.where(jnp.isnan(data.values[k]), jnp.nan, law.sample(40_000, key=jax.random.key(k)))
        scores = jax.lax.map(lambda y, a=ahead, t=data.times[k]: score(a, t, y), draws, batch_size=4000)
        squares = np.asarray(scores[:, :, None] * scores[:, None, :])
        assert (abs(squares.mean(0) - grown[k]) < 5 * squares.std(0) / np.sqrt(40_000) + 1e-7).all(), k


def test_natural_gradient_is_recursive_least_squares():
    """Where the state is known and y is linear in theta: the exact posterior, to rounding."""

    def build(p):
        still = fl.LinearDiscrete([[0.0]], [[0.0]])
        seen = fl.LinearGaussianObservation([[0.0]], [[0.5]], lambda t, u: (u @ p["theta"])[None])
        return fl.StateSpaceModel(fl.Gaussian([0.0], 0.0), still, seen)

    rng = np.random.default_rng(0)
    inputs = rng.normal(size=(50, 3))
    data = fl.Dataset(np.arange(50.0), inputs @ np.array([1.0, -2.0, 0.5]) + rng.normal(size=50), inputs)
    for motion in (fl.Static(), fl.RandomWalk(0.2), fl.OrnsteinUhlenbeck(5.0, 1.0), fl.Forgetting(10.0)):
        family = fl.ModelFamily(build, {"theta": fl.Parameter(dist.Normal(jnp.zeros(3), 1.0), motion)})
        learners = fl.RecursiveMaximumLikelihood(fl.Kalman(), fl.natural_gradient()), fl.Joint(fl.ExtendedKalman())
        ours, exact = (fl.run(each, family, data) for each in learners)
        for part in ("mean", "covariance"):
            one, two = (jax.vmap(lambda b, p=part: getattr(b.parameters, p))(each.beliefs) for each in (ours, exact))
            np.testing.assert_allclose(one, two, atol=1e-11)
        np.testing.assert_allclose(ours.beliefs.parameters.time, data.times)
