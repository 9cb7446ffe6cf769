"""Laws of learnable drifts."""

import functools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpyro.infer.autoguide import AutoNormal

import filterlearn as fl
from tests.cases import DRIFTS, KEY, SAMPLING_FILTERS

STEPS, H = 400, 0.05


def at(dtype, states, inputs):
    """A time, five states within 2 of the origin, and inputs."""
    x = 2 * jnp.sin(jnp.arange(5.0 * states).reshape(5, states))
    return jnp.asarray(0.5, dtype), x.astype(dtype), jnp.full(inputs, 0.3, dtype) if inputs else None


@functools.cache
def made(name):
    make, states, inputs = DRIFTS[name]
    return make(), states, inputs


def cast(tree, dtype):
    return jax.tree.map(lambda leaf: leaf.astype(dtype) if eqx.is_inexact_array(leaf) else leaf, tree)


@pytest.mark.parametrize("name", DRIFTS)
def test_values_follow_the_state(name):
    """A rate of the state's shape and precision."""
    drift, states, inputs = made(name)
    for dtype in (jnp.float32, jnp.float64):
        t, xs, u = at(dtype, states, inputs)
        found = eqx.filter_eval_shape(lambda d, t=t, x=xs[0], u=u: d(t, x, u), cast(drift, dtype))
        assert (found.shape, found.dtype) == ((states,), dtype)


@pytest.mark.parametrize("name", DRIFTS)
def test_derivatives_are_finite_and_reach_the_leaves(name):
    """At random states and at the origin, where norms and square roots have corners; some array of the drift moves the rates,
    and one state at a time gives what all give together."""
    drift, states, inputs = made(name)
    t, xs, u = at(jnp.float64, states, inputs)
    xs = xs.at[0].set(0.0)

    def loss(both):
        rates = jax.vmap(lambda x: both[0](t, x, u))(both[1])
        return jnp.sum(rates**2), rates

    (_, rates), (slope, back) = eqx.filter_jit(eqx.filter_value_and_grad(loss, has_aux=True))((drift, xs))
    arrays = jax.tree.leaves(slope)
    assert all(np.isfinite(each).all() for each in (rates, back, *arrays))
    assert any(np.any(each != 0) for each in arrays)
    np.testing.assert_allclose(rates[1], drift(t, xs[1], u), rtol=1e-12, atol=1e-14)


@pytest.mark.science
@pytest.mark.parametrize("name", DRIFTS)
def test_prior_paths_stay_bounded_at_any_width(name):
    """Sixty drifts drawn at widths 4 and 64: noisy Euler paths of length 20 from within 2 of the origin stay within 100, and
    the mean square of the rates differs by less than a factor of two (the spread over the draws is below a quarter)."""
    make, states, inputs = DRIFTS[name]
    t, xs, u = at(jnp.float64, states, inputs)
    noise = 0.2 * H**0.5 * jax.random.normal(jax.random.key(1), (STEPS, states))

    def drawn(key, width):
        drift = make(key, width)
        moved = lambda x, e: (x + H * drift(t, x, u) + e, None)  # noqa: E731
        return jax.vmap(lambda x: drift(t, x, u))(xs), jax.lax.scan(moved, xs[0], noise)[0]

    keys = jax.random.split(KEY, 60)
    (thin, path), (wide, broad) = (jax.jit(jax.vmap(lambda k, w=w: drawn(k, w)))(keys) for w in (4, 64))
    assert max(abs(path).max(), abs(broad).max()) < 100
    assert 0.5 < (wide**2).mean() / (thin**2).mean() < 2


@pytest.mark.science
@pytest.mark.parametrize("name", DRIFTS)
def test_filters_learners_and_fits_take_it(name):
    """Every sampling filter unchanged: the particles' evidence of six close data, nearly Gaussian, within five standard
    errors and .1 of the ensemble's. `Joint` and `LowRank` learn the leaves online, and `SVI` draws them."""
    drift, states, inputs = made(name)
    times = 0.1 * jnp.arange(1.0, 7.0)
    data = fl.Dataset(times, jnp.sin(times)[:, None].at[3].set(jnp.nan), jnp.full((6, inputs), 0.3) if inputs else None)

    def model(drift, _=None):
        moved = fl.EulerMaruyama(fl.SDE(drift, 0.2 * jnp.ones(states)), steps=1)
        seen = fl.LinearGaussianObservation(jnp.eye(states)[:1], 0.04 * jnp.eye(1))
        return fl.StateSpaceModel(fl.Gaussian(0.2 * jnp.ones(states), 0.01, time=0.0), moved, seen)

    def levels(drift, make):
        keys = jax.random.split(KEY, 5)
        return jax.vmap(lambda key: fl.log_evidence(make(), model(drift), data, key=key))(keys)

    found = {each: eqx.filter_jit(levels)(drift, make) for each, make in SAMPLING_FILTERS.items()}
    (ensemble, spread), (particle, error) = ((one.mean(), one.std() / 4**0.5) for one in found.values())
    assert abs(ensemble - particle) < 5 * (spread**2 + error**2) ** 0.5 + 0.1
    family = fl.ModelFamily.from_module(drift, model, where=lambda d: d, scale=0.1)
    for learner in (fl.Joint(fl.EnsembleKalman(50)), fl.LowRank(fl.ExtendedKalman(), 2)):
        last = fl.run(learner, family, data, key=KEY, save=lambda belief, info: belief.parameters.mean).saved[-1]
        assert np.isfinite(last).all()
        assert np.abs(last - family.median).max() > 1e-4
    tree = fl.fit(family, data, fl.ExtendedKalman(), fl.SVI(AutoNormal, steps=20, draws=20, chains=1), key=KEY)
    assert all(np.isfinite(tree["posterior"][each]).all() for each in family.names)
