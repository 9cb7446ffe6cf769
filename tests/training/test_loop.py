"""Training: steps, passes, stopping and refusals against closed forms."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import filterlearn as fl

KEY = jax.random.key(3)
VALUES = jnp.array([1.0, 2.0, 4.0, 9.0])
SGD = optax.sgd(0.1)
traces = []


class Square(fl.AbstractObjective):
    """(w - y)^2 scale; counts how often it is traced."""

    scale: float = 1.0

    def loss(self, module, series, key):
        traces.append(1)
        return self.scale * (module["w"] - series) ** 2


class Slope(fl.AbstractObjective):
    """w y, and not a number where w is below -3."""

    def loss(self, module, series, key):
        return jnp.where(module["w"] < -3, jnp.nan, module["w"] * series)


def weight(w=0.0):
    return {"w": jnp.array(w), "whole": jnp.arange(3), "name": "kept"}


def test_a_descent_is_that_of_the_closed_form_and_compiles_once():
    """w_k = mean + .8^k (w_0 - mean); the floats of the module are trained, and nothing else."""
    for start, steps in ((0.0, 25), (7.0, 25)):
        out = fl.train(Square(), weight(start), VALUES, optimiser=SGD, steps=steps, every=10, key=KEY)
        np.testing.assert_allclose(out.module["w"], 4 + 0.8**steps * (start - 4), rtol=1e-12)
        np.testing.assert_allclose(out.losses, 9.5 + (0.8 ** np.arange(steps) * (start - 4)) ** 2, rtol=1e-12)
        assert (out.module["name"], int(out.kept), np.isnan(out.held_out).all()) == ("kept", steps, True)
        np.testing.assert_array_equal(out.module["whole"], np.arange(3))
        count = len(traces) if start == 0.0 else count
    assert len(traces) <= count + 1  # the shape of the loss


def test_every_pass_takes_each_series_once():
    """Of a linear loss the steps of a pass add up to the sum, in whatever order."""
    out = fl.train(Slope(), weight(5.0), VALUES, optimiser=optax.sgd(0.01), steps=8, batch=1, key=KEY)
    np.testing.assert_allclose(out.module["w"], 5 - 0.01 * 2 * VALUES.sum(), rtol=1e-12)
    first, second = np.split(np.asarray(out.losses), 2)
    assert len({*np.round(first, 9)} | {*np.round(second, 9)}) == 8


def test_the_best_on_what_is_held_out_is_kept():
    """Its optimum, 1, is passed on the way to 4, after four looks of one step: |4 - 4 .8^k - 1| is least for k = 1."""
    told = []
    held = {"held_out": jnp.array([1.0]), "patience": 3, "every": 1, "progress": told.append}
    out = fl.train(Square(), weight(), VALUES, optimiser=SGD, steps=50, key=KEY, **held)
    np.testing.assert_allclose(out.module["w"], 0.8, rtol=1e-12)
    np.testing.assert_allclose(out.held_out[:3], [1.0, 0.04, (4 * 0.36 - 1) ** 2], rtol=1e-9)
    assert (int(out.kept), len(out.losses), len(told)) == (1, 4, 4)
    assert told[-1].startswith("step 4 of 50: loss ")


def test_what_is_not_finite_is_told_and_not_stepped_into():
    with pytest.warns(UserWarning, match="not finite at step 2 of 9"):
        out = fl.train(Slope(), weight(), VALUES[:1] * 20, optimiser=SGD, steps=9, key=KEY)
    np.testing.assert_allclose(out.module["w"], -4.0)
    assert len(out.losses) == 2
    with pytest.raises(FloatingPointError, match=r"objective: the loss nan .*first step; lower the rate"):
        fl.train(Slope(), weight(-5.0), VALUES, optimiser=SGD, steps=9, key=KEY)


def level(module):
    """A level that does not move, seen with variance 1, later with variance .25."""
    start = fl.Gaussian(module["w"][None], 0.0, time=0.0)
    noise = lambda t, u: jnp.where(t < 2, 1.0, 0.25)[None, None]  # noqa: E731
    return fl.StateSpaceModel(start, fl.LinearDiscrete([[1.0]], [[0.0]]), fl.LinearGaussianObservation([[1.0]], noise))


def test_the_evidence_has_its_maximum_at_the_weighted_mean():
    """Of series of unequal lengths."""
    rng = np.random.default_rng(0)
    series = [fl.Dataset(np.arange(n), rng.normal(size=n)) for n in (3, 6, 2)]
    y, w = np.concatenate([s.values[:, 0] for s in series]), np.concatenate([1 + 3 * (s.times >= 2) for s in series])
    run = {"data": fl.stacked(series), "optimiser": optax.sgd(0.1), "key": KEY}
    out = fl.train(fl.Evidence(level, fl.Kalman()), weight(2.0), steps=20, **run)
    np.testing.assert_allclose(out.module["w"], (w * y).sum() / w.sum(), rtol=1e-9)
    exact = -sum(fl.log_evidence(fl.Kalman(), level(weight(2.0)), each) for each in series) / 3
    np.testing.assert_allclose(out.losses[0], exact, rtol=1e-12)


def test_single_precision_stays_single():
    out = fl.train(Square(), {"w": jnp.float32(0.0)}, VALUES.astype(jnp.float32), steps=3, key=KEY)
    assert out.module["w"].dtype == out.losses.dtype == jnp.float32


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"objective": max}, "objective: one with a method loss"),
        ({"module": {"n": jnp.arange(2)}}, "module: it holds no floating array"),
        ({"data": (VALUES, VALUES[:2])}, r"data: .*got shapes \[\(4,\), \(2,\)\]; stack"),
        ({"held_out": jnp.array(1.0)}, r"held_out: .*got shapes \[\(\)\]"),
        ({"patience": 2}, "patience: .* give held_out"),
        ({"batch": 5}, "batch: at most the 4 series given, got 5"),
        ({"steps": -1}, "steps: a whole number of at least 0"),
        ({"module": {"w": jnp.zeros(2)}}, r"objective: its loss must be one number, got .*\(shape=\(2,\)"),
    ],
)
def test_refusals(given, words):
    default = {"objective": Square(), "module": weight(), "data": VALUES, "steps": 2, "key": KEY}
    with pytest.raises((TypeError, ValueError), match=words):
        fl.train(**(default | given))
