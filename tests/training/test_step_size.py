"""What training tells of the solver's step."""

import warnings

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import filterlearn as fl

KEY = jax.random.key(4)
TIMES = 0.5 * np.arange(1.0, 7.0)
DATA = fl.stacked([fl.Dataset(TIMES, start * np.exp(-TIMES)) for start in (1.0, 1.2)])


class Decay(eqx.Module):
    """dx = -rate x dt by so many steps of Euler's, from a known start, seen with small noise."""

    steps: int = eqx.field(static=True)

    def __call__(self, rate):
        sde = fl.SDE(lambda t, x, u: -rate * x, [0.01])
        seen = fl.LinearGaussianObservation([[1.0]], [[0.01]])
        return fl.StateSpaceModel(fl.Gaussian([1.1], 0.01, time=0.0), fl.EulerMaruyama(sde, steps=self.steps), seen)


def loss(steps, rate):
    each = fl.Evidence(Decay(steps), fl.ExtendedKalman())
    return np.mean([each.loss(rate, jax.tree.map(lambda leaf: leaf[k], DATA), None) for k in range(2)])  # noqa: B023


def trained(objective, rate=0.5, run=fl.train, steps=40):
    return run(objective, jnp.asarray(rate), DATA, optimiser=optax.adam(0.05), steps=steps, key=KEY)


def test_a_coarse_step_is_told_with_what_a_quarter_of_it_gives():
    """One step a gap: the rate learned is 1 - exp(-.5) over .5, not 1, and four steps a gap expose it."""
    with pytest.warns(UserWarning, match="fits its step, not an equation: at a quarter of it the loss is .*more steps"):
        out = trained(fl.Evidence(Decay(1), fl.ExtendedKalman()))
    np.testing.assert_allclose(out.step_size.coarse, loss(1, out.module), rtol=1e-9)
    np.testing.assert_allclose(out.step_size.fine, loss(4, out.module), rtol=1e-9)
    assert float(out.step_size.error) == 0
    assert abs(out.step_size.change) > 0.05


def test_of_small_steps_nothing_is_said():
    """Of an ensemble, each member's own."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        out = trained(fl.Evidence(Decay(16), fl.ExtendedKalman()), [0.5, 0.7], fl.train_ensemble)
    np.testing.assert_allclose(out.step_size.fine, [loss(64, rate) for rate in out.module], rtol=1e-9)
    assert (abs(out.step_size.change) > 0).all()
    assert (abs(out.step_size.change) < 0.05).all()


def test_random_losses_have_an_error_and_no_steps_no_effect():
    guide = lambda rate, series: (fl.Gaussian([1.1], 0.01, time=0.0), lambda t, x, u: -rate * x)  # noqa: E731
    objective = fl.PathBound(Decay(1), guide)
    with warnings.catch_warnings(record=True):
        assert trained(objective, steps=1).step_size.error > 0
    assert trained(objective, steps=0).step_size is None
