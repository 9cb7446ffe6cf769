"""Bounds over paths against the exact evidence of linear Gaussian models."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import filterlearn as fl
from tests.cases import module_of_objectives, pulled, seen_path, towards

DATA = seen_path(0, 4)
KEYS = jax.random.split(jax.random.key(1), 1000)


def losses(objective, module, data, keys=KEYS):
    return np.asarray(jax.jit(jax.vmap(lambda key: objective.loss(module, data, key)))(keys))


def five(draws):
    return 5 * draws.std() / len(draws) ** 0.5


def test_weights_of_paths_have_the_evidence_as_their_mean():
    module = {"w": -0.5 * jnp.eye(2), "start": DATA.values[0], "gain": jnp.array(0.3)}
    exact = float(fl.log_evidence(fl.ExtendedKalman(), pulled(module), DATA))  # of the Euler steps
    weights = np.exp(-losses(fl.ImportanceBound(pulled, towards, 1), module, DATA) - exact)
    many = losses(fl.ImportanceBound(pulled, towards, 20), module, DATA, KEYS[:200])
    one = losses(fl.PathBound(pulled, towards), module, DATA)
    assert abs(weights.mean() - 1) < five(weights) < 0.4
    assert abs(np.exp(-many - exact).mean() - 1) < five(np.exp(-many - exact)) < 0.2
    assert -one.mean() + five(one) < -many.mean() < exact


def test_the_bound_of_the_models_own_paths():
    """E log p(y | x) over the prior, from its moments."""
    prior = lambda module, series: (pulled(module).initial, pulled(module).transition.sde.drift)  # noqa: E731
    draws = losses(fl.PathBound(pulled, prior), module_of_objectives(), DATA)
    step = (1 - 0.5 * 0.05) ** 2
    variance, exact = 1.0, 0.0
    for k, y in enumerate(DATA.values):
        if k:
            variance = step * (step * variance + 0.05 * 0.09) + 0.05 * 0.09
        exact += -np.log(2 * np.pi * 0.1) - 0.5 * np.sum(y**2 + variance) / 0.1
    assert abs(-draws.mean() - exact) < five(draws)


def relaxing(steps):
    """dx = -x dt + .8 dW from N(0, 1)."""
    sde = fl.SDE(lambda t, x, u: -x, jnp.array([0.8]))
    seen = fl.LinearGaussianObservation([[1.0]], [[0.1]])
    return fl.StateSpaceModel(fl.Gaussian([0.0], 1.0, time=0.0), fl.EulerMaruyama(sde, steps=steps), seen)


def conditioned(module, series):
    """Doob's transform: the drift given the datum at time 1, and the start given it."""
    y = series.values[-1]

    def drift(t, x, u):
        decay = jnp.exp(t - 1)
        return -x + 0.64 * decay * (y - decay * x) / (0.32 * (1 - decay**2) + 0.1)

    decay = jnp.exp(-1.0)
    total = decay**2 + 0.32 * (1 - decay**2) + 0.1
    return fl.Gaussian(decay / total * y, (1 - decay**2 / total)[None, None], time=0.0), drift


def test_the_bound_is_the_evidence_where_the_guide_is_the_posterior():
    """The gap, and the variance of the log weights, fall with the step (their mean is the bound, as the martingale's is 0);
    the model's own paths leave a gap."""
    data, gaps, spreads = fl.Dataset([1.0], [[1.3]]), [], []
    for steps in (8, 64):
        exact = float(fl.log_evidence(fl.ExtendedKalman(), relaxing(steps), data))
        draws = losses(fl.ImportanceBound(lambda module, k=steps: relaxing(k), conditioned, 1), {}, data)
        gaps, spreads = [*gaps, exact + draws.mean()], [*spreads, draws.std()]
    assert gaps[1] < 0.02 + five(draws) < 0.06 < gaps[0]
    assert (spreads[0] / spreads[1]) ** 2 > 6
    own = lambda module, series: (relaxing(64).initial, lambda t, x, u: -x)  # noqa: E731
    draws = losses(fl.PathBound(lambda module: relaxing(64), own), {}, data)
    assert exact + draws.mean() - five(draws) > 1


def test_a_bound_refuses_other_steps_and_diffusions():
    milstein = lambda module: fl.StateSpaceModel(  # noqa: E731
        fl.Gaussian([0.0], 1.0), fl.Milstein(fl.SDE(lambda t, x, u: -x, jnp.ones(1)), steps=1), relaxing(1).observation
    )
    guide = lambda module, series: (fl.Gaussian([0.0], 1.0), lambda t, x, u: -x)  # noqa: E731
    for bound in (fl.PathBound, fl.ImportanceBound):
        with pytest.raises(TypeError, match="build: a transition EulerMaruyama without jumps .* got Milstein"):
            bound(milstein, guide).loss({}, fl.Dataset([1.0], [1.0]), KEYS[0])
