"""The check of a gradient speaks when it must."""

import warnings

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest

import filterlearn as fl
from filterlearn.posteriors.base import Target


def build(p):
    """Two autoregressions seen precisely: fully resampled nearly every time."""
    moved = fl.LinearDiscrete(jnp.diag(p["memory"]), 0.5 * jnp.eye(2))
    seen = fl.LinearGaussianObservation(jnp.eye(2), 0.1 * jnp.eye(2))
    return fl.StateSpaceModel(fl.Gaussian(jnp.zeros(2), 1.0, time=0.0), moved, seen)


FAMILY = fl.ModelFamily(build, {"memory": fl.Parameter(dist.Normal(jnp.full(2, 0.5), 0.3))})
TIMES = np.arange(1.0, 151.0)
DATA = fl.Dataset(TIMES, fl.simulate(FAMILY(jnp.full(2, 0.5)), TIMES, key=jax.random.key(0))[1])
NOISY = fl.ParticleFilter(25, fl.Adaptive(fl.StopGradient(fl.Systematic())))


THETA = jnp.full(2, 0.5)


def test_noise_is_flagged_and_kalman_is_not():
    """By 25 particles and exactly; the noisy mean is the exact one within five errors, more than its bias."""
    with pytest.warns(UserWarning, match=r"mostly noise: by 'memory\[1\]' it deviates by .* data tell .*ParticleMCMC"):
        noisy = fl.check_gradient(NOISY, FAMILY(THETA), DATA, key=jax.random.key(1))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        exact = fl.check_gradient(fl.Kalman(), FAMILY(THETA), DATA, key=jax.random.key(1))
    assert noisy.useless == ("memory[1]",)
    assert noisy.deviation[1] > 2 * exact.scale[1]
    assert (abs(noisy.mean - exact.mean) < 5 * noisy.error).all()
    terms = lambda th: fl.run(fl.Kalman(), FAMILY(th), DATA, save=lambda belief, info: info.log_evidence).saved  # noqa: E731
    each = jax.jit(jax.jacfwd(terms))(THETA)
    assert exact.useless == ()
    assert (exact.deviation == 0).all()
    np.testing.assert_allclose(exact.mean, each.sum(0), rtol=1e-9)
    np.testing.assert_allclose(exact.scale, jnp.maximum(abs(each.sum(0)), jnp.sqrt((each**2).sum(0))), rtol=1e-9)


@pytest.mark.parametrize("method", ["blackjax.NUTS", "numpyro.NumPyroNUTS"])
def test_samplers_that_follow_it_say_so(method, monkeypatch):
    module, name = method.split(".")
    monkeypatch.setattr(f"filterlearn.posteriors.{module}._sample", lambda *given: (None, {}))
    target, start = Target(FAMILY, NOISY, DATA, jax.random.key(1)), THETA[None]
    with pytest.warns(UserWarning, match="mostly noise"):
        getattr(fl, name)().draw(target, start, THETA, key=jax.random.key(2))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        getattr(fl, name)().draw(Target(FAMILY, fl.Kalman(), DATA, None), start, THETA, key=jax.random.key(2))
