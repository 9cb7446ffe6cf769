"""D7: two parameters of which only the product shows."""

import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest

import filterlearn as fl

STEPS, PRIOR = 5000, dist.LogNormal(0.0, 0.5)


def product_family(motion):
    """y = a b u + e."""

    def build(p):
        still = fl.LinearDiscrete([[0.0]], [[0.0]])
        seen = fl.LinearGaussianObservation([[0.0]], [[0.25]], lambda t, u: p["a"] * p["b"] * u)
        return fl.StateSpaceModel(fl.Gaussian([0.0], 0.0), still, seen)

    return fl.ModelFamily(build, {name: fl.Parameter(PRIOR, motion) for name in "ab"})


def data():
    rng = np.random.default_rng(0)
    inputs = rng.normal(size=(STEPS, 1))
    return fl.Dataset(np.arange(float(STEPS)), 1.3 * 0.7 * inputs + 0.5 * rng.normal(size=(STEPS, 1)), inputs)


def grid_sds(family, stream):
    """Exact posterior sds of (log a + log b, log a - log b) / sqrt 2, by quadrature: the data enter by two sums."""
    y, u = np.asarray(stream.values)[:, 0], np.asarray(stream.inputs)[:, 0]
    ratio = np.linspace(-4.0, 4.0, 801)
    product = np.log((y @ u) / (u @ u)) / 2**0.5 + np.linspace(-0.3, 0.3, 801)
    s, r = np.meshgrid(product, ratio, indexing="ij")
    thetas = np.stack([s + r, s - r]) / 2**0.5
    log = -0.5 * (((thetas - np.asarray(family.median)[:, None, None]) / np.asarray(family.sd)[:, None, None]) ** 2).sum(0)
    c = np.exp(2**0.5 * s)
    log += (c * (y @ u) - c**2 * (u @ u) / 2) / 0.25
    weights = np.exp(log - log.max()) / np.exp(log - log.max()).sum()
    return [np.sqrt((weights * (v - (weights * v).sum()) ** 2).sum()) for v in (s, r)]


def sds(belief, info):
    turn = jnp.array([[1.0, 1.0], [1.0, -1.0]]) / 2**0.5
    return jnp.sqrt(jnp.diagonal(turn @ belief.parameters.covariance @ turn.T)), belief.parameters.mean


@pytest.mark.parametrize(
    "make",
    [lambda: fl.Joint(fl.ExtendedKalman()), lambda: fl.RecursiveMaximumLikelihood(fl.Kalman(), fl.natural_gradient())],
    ids=["joint", "recursive"],
)
def test_the_product_is_learned_and_the_ratio_is_known_not_to_be(make):
    """The product within five of its sds; that sd, and the ratio's, within 10 % of the grid's; the ratio alone is flagged,
    from 200 data on."""
    family, stream = product_family(fl.Static()), data()
    out = fl.run(make(), family, stream, save=sds)
    found, mean = (np.asarray(part) for part in out.saved)
    exact = grid_sds(family, stream)
    np.testing.assert_allclose(found[-1], exact, rtol=0.1)
    assert abs(mean[-1].sum() - np.log(1.3 * 0.7)) < 5 * 2**0.5 * exact[0]
    early = fl.run(make(), family, fl.Dataset(stream.times[:200], stream.values[:200], stream.inputs[:200])).last
    for belief in (early, out.last):
        told = fl.excitation(family, belief)
        assert len(told.unexcited()) == 1
        np.testing.assert_allclose(abs(told.directions[0]), 0.5**0.5, atol=0.05)  # the sds of the priors are drawn
        assert told.directions[0, 0] * told.directions[0, 1] < 0
        assert told.ratios[1] < 0.05


def test_what_is_not_excited_does_not_wind_up():
    """Forgetting with a memory of 100 data over 5,000: the sd of the ratio stays the prior's, that of the product small."""
    family = product_family(fl.Forgetting(100.0))
    found = np.asarray(fl.run(fl.Joint(fl.ExtendedKalman()), family, data(), save=sds).saved[0])
    prior = float(jnp.sqrt(jnp.mean(family.sd**2)))
    np.testing.assert_allclose(found[:, 1], prior, rtol=0.1)
    assert (found[200:, 0] < 0.2 * prior).all()
