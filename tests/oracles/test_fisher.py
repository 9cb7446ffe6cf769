"""Scores of particle filters by Fisher's identity against exact ones.

exp(estimate - exact) of the evidence times (score - exact) has mean 0 for any number of particles, whatever the proposal and
however many particles before are taken, as long as they are drawn by their law (Del Moral, Doucet & Singh 2010,
doi:10.1051/m2an/2010048): so no slack is needed.
"""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist

import filterlearn as fl
from tests.cases import linear_data
from tests.oracles.grid import stochastic_volatility
from tests.oracles.test_recursive_ml import adding_up, everything_unknown
from tests.oracles.test_stochastic_volatility import MU, RHO, SIGMA, simulated

KEY = jax.random.key(0)


def summed(score, proposal, family, data, size, keys):
    """Summed log evidence and summed score after each datum, theta frozen: `(keys, T)` and `(keys, T, p)`."""
    learner = fl.RecursiveMaximumLikelihood(fl.ParticleFilter(size, proposal=proposal), adding_up(), score)

    def one(key):
        told = lambda belief, info: (info.log_evidence, belief.optimiser)  # noqa: E731
        evidence, scores = fl.run(learner, family, data, key=key, save=told).saved
        return jnp.cumsum(evidence), scores

    found = jax.lax.map(one, jax.random.split(KEY, keys), batch_size=25)
    return [np.asarray(part) for part in found]


def check_mean_is_zero(errors, most):
    """Within five standard errors, which are small enough to tell."""
    se = errors.std(0, ddof=1) / np.sqrt(len(errors))
    print((errors.mean(0) / se).round(2), se.round(3))
    assert (abs(errors.mean(0)) < 5 * se).all()
    assert (se < most).all()


def test_the_score_of_a_linear_model_is_that_of_kalman():
    """Start, drift, noises and offset all parameters, points that look at the datum; equal times, missing entries."""
    family, data = everything_unknown(), linear_data(12)
    evidence, exact = jax.value_and_grad(lambda theta: fl.log_evidence(fl.Kalman(), family(theta), data))(family.median)
    score = fl.ParisScore(fl.BackwardRejection(2))
    found, scores = summed(score, fl.Auxiliary(fl.Guided()), family, data, 50, 200)
    check_mean_is_zero(np.exp(found[:, -1:] - evidence) * (scores[:, -1] - exact), 0.4)


def test_its_variance_grows_with_the_length_of_the_series():
    """Fourfold from a quarter, not sixteenfold as along the paths: by two particles before each, as many as are needed."""

    def build(p):
        move = fl.LinearDiscrete(p["slope"][None, None], [[0.5]])
        return fl.StateSpaceModel(fl.Gaussian([0.0], 1.0, time=0.0), move, fl.LinearGaussianObservation([[1.0]], [[0.3]]))

    family = fl.ModelFamily(build, {"slope": fl.Parameter(dist.Normal(0.5, 1.0))})
    data = fl.Dataset(np.arange(1.0, 161.0), fl.simulate(family(family.median).resolve(), np.arange(1.0, 161.0), key=KEY)[1])
    _, scores = summed(fl.ParisScore(), fl.Bootstrap(), family, data, 50, 100)
    growth = np.log(scores[:, -1, 0].var() / scores[:, 39, 0].var())
    print(np.exp(growth))
    assert abs(growth - np.log(4)) < np.log(2.5)


def volatility_family():
    """Level, persistence and noise of a log-variance unknown, its start stationary."""

    def build(p):
        move = fl.LinearDiscrete(p["rho"][None, None], p["sigma"][None, None] ** 2, (p["mu"] * (1 - p["rho"]))[None])
        start = fl.Initial(dist.Normal(p["mu"], p["sigma"] / jnp.sqrt(1 - p["rho"] ** 2)))
        seen = fl.DistributionObservation(lambda t, x, u: dist.Normal(0.0, jnp.exp(x / 2)))
        return fl.StateSpaceModel(start, move, seen)

    priors = {"mu": dist.Normal(MU, 1.0), "rho": dist.Normal(RHO, 0.01), "sigma": dist.Normal(SIGMA, 0.1)}
    return fl.ModelFamily(build, {name: fl.Parameter(prior) for name, prior in priors.items()})


def test_the_score_of_a_volatility_is_that_of_the_grid():
    """By the noise of the state too, where the derivative along the paths is far off; and by its stationary start."""
    y, at, steps = simulated(), np.array([MU, RHO, SIGMA]), 1e-5 * np.eye(3)

    def evidence(theta):
        return stochastic_volatility(y, *theta)[0].sum()

    exact = np.array([(evidence(at + h) - evidence(at - h)) / 2e-5 for h in steps])
    data = fl.Dataset(np.arange(float(len(y))), y)
    found, scores = summed(fl.FisherScore(), fl.Bootstrap(), volatility_family(), data, 100, 100)
    check_mean_is_zero(np.exp(found[:, -1:] - evidence(at)) * (scores[:, -1] - exact), 3.0)
