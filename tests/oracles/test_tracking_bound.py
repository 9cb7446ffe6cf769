"""The posterior Cramer-Rao bound against exact covariances, a closed form, and a learner that cannot beat it."""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest

import filterlearn as fl
from tests.cases import hidden_family
from tests.laws.test_learners import hidden_data


@pytest.mark.parametrize("motion", [fl.RandomWalk(0.3), fl.Static()], ids=["moving", "still"])
def test_is_the_exact_covariance_where_all_is_linear(motion):
    """The floor is 4e-11 of a variance, at each of 60 data, and rounding is 1e-16 over it."""
    family, data = hidden_family(motion=motion), hidden_data(9, 60)
    save = lambda belief, info: (belief.covariance, belief.parameters.covariance)  # noqa: E731
    state, parameters = fl.run(fl.Joint(fl.ExtendedKalman()), family, data, save=save).saved
    ours = fl.tracking_bound(family, data, draws=3)
    np.testing.assert_allclose(ours.state, state, rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(ours.parameters, parameters, rtol=1e-5, atol=1e-7)


def test_of_an_unknown_noise():
    """y ~ N(0, e^2 theta): each datum tells 2, to the floor of the motion."""
    seen = lambda p: fl.LinearGaussianObservation([[0.0]], (p["s"] ** 2)[None, None])  # noqa: E731
    still = fl.LinearDiscrete([[1.0]], [[0.1]])
    build = lambda p: fl.StateSpaceModel(fl.Gaussian([0.0], 1.0, time=0.0), still, seen(p))  # noqa: E731
    family = fl.ModelFamily(build, {"s": fl.Parameter(dist.LogNormal(0.0, 0.7))})
    bound = fl.tracking_bound(family, fl.Dataset(np.arange(1.0, 21.0), np.zeros(20)))
    np.testing.assert_allclose(bound.parameters[:, 0, 0], 1 / (family.sd**-2 + 2 * np.arange(1, 21)), rtol=1e-5)


def test_no_learner_beats_it():
    """An unknown rate of decay: 300 series from the family, each learned by 300 parameter particles with the exact filter
    inside; the mean squared error is above the bound, less five standard errors, and not twice it."""

    def build(p):
        level = fl.LinearDiscrete(jax.nn.sigmoid(p["a"])[None, None], [[0.3]])
        return fl.StateSpaceModel(fl.Gaussian([1.0], 0.4, time=0.0), level, fl.LinearGaussianObservation([[1.0]], [[0.2]]))

    family, times = (
        fl.ModelFamily(build, {"a": fl.Parameter(dist.Normal(0.5, 1.0), fl.RandomWalk(0.1))}),
        jnp.arange(1.0, 31.0),
    )
    bound = fl.tracking_bound(family, fl.Dataset(times, np.zeros(30)), draws=2000).parameters[-1, 0, 0]

    def one(key):
        draw, walk, begin, noises, own = jax.random.split(key, 5)
        path = family.sample_prior(1, key=draw)[0, 0] + 0.1 * jnp.cumsum(jax.random.normal(walk, (30,)))
        x0, noise = 1.0 + 0.4**0.5 * jax.random.normal(begin), jax.random.normal(noises, (2, 30))
        step = lambda x, row: (x := jax.nn.sigmoid(row[0]) * x + 0.3**0.5 * row[1], x)  # noqa: E731
        level = jax.lax.scan(step, x0, (path, noise[0]))[1]
        data = fl.Dataset(times, level + 0.2**0.5 * noise[1])
        last = fl.run(fl.Nested(fl.Kalman(), 300, move=None), family, data, key=own, save=lambda b, i: None).last
        return (last.parameters.mean[0] - path[-1]) ** 2

    error = np.asarray(jax.lax.map(one, jax.random.split(jax.random.key(0), 300), batch_size=20))
    assert bound - 5 * error.std() / 300**0.5 < error.mean() < 2 * bound
