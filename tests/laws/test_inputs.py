"""Inputs as functions of time are read by each function of a model at its own time."""

from typing import Any

import diffrax
import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest

import filterlearn as fl
from tests.cases import MATRIX, NOISE, OBSERVATIONS, TRANSITIONS

KEY = jax.random.key(0)
X = jnp.array([0.7, -0.4])
KNOTS, ROWS = np.array([-1.0, 0.25, 0.5, 2.0]), np.array([0.3, 1.2, 0.1, 0.9])
LINEAR, HELD = fl.Linear(KNOTS, ROWS), fl.Held(KNOTS, ROWS)


def lines(t):
    """The same polygon, written by hand."""
    return jnp.where(t < 0.25, 0.3 + 0.72 * (t + 1), jnp.where(t < 0.5, 1.2 - 4.4 * (t - 0.25), 0.1 + 0.8 / 1.5 * (t - 0.5)))


def stairs(t):
    return jnp.where(t < 0.25, 0.3, jnp.where(t < 0.5, 1.2, jnp.where(t < 2, 0.1, 0.9)))


def sde(f, diffusion=None, jumps=()):
    return fl.SDE(lambda t, x, u: MATRIX @ x + f(t, u), NOISE if diffusion is None else diffusion, jumps)


def jump(f, bound=None):
    law = lambda t, x, u: dist.Normal(f(t, u) * jnp.ones(2), 0.2)  # noqa: E731
    return fl.CompoundPoisson(lambda t, x, u: 3.0 * f(t, u), law, bound)


def since_last(f):
    scheme = fl.EulerMaruyama(fl.SDE(lambda t, x, u: -f(t, u) * x, lambda t, x, u: f(t, u) + 0 * x), steps=3)
    return fl.SinceLast(scheme, lambda t, x, u: f(t, u) * x, lambda t, x, u: f(t, u) * jnp.ones((1, 1)))


class Pulled(fl.AbstractSeparable):
    """A force f(t, u) towards 0."""

    f: Any
    damping: Any = 0.1

    def velocity(self, p):
        return p

    def force(self, t, q, u):
        return -self.f(t, u) * q


# one row for each kind of transition, every function of which reads the input f(t, u)
READING = {
    "euler_maruyama": lambda f: fl.EulerMaruyama(sde(f, lambda t, x, u: f(t, u) * NOISE, jump(f)), steps=3),
    "euler_maruyama_thinned": lambda f: fl.EulerMaruyama(sde(f, jumps=jump(f, 4.0)), steps=3),
    "milstein": lambda f: fl.Milstein(sde(f, lambda t, x, u: f(t, u) * x), steps=3),
    "runge_kutta": lambda f: fl.RungeKutta(sde(f), steps=3),
    "local_linear": lambda f: fl.LocalLinear(sde(f, lambda t, x, u: f(t, u) * NOISE), steps=3),
    "diffrax_euler": lambda f: fl.Diffrax(sde(f, lambda t, x, u: f(t, u) * NOISE, jump(f)), diffrax.Euler(), steps=3),
    "diffrax_heun": lambda f: fl.Diffrax(sde(f), diffrax.Heun(), steps=3),
    "linear_sde": lambda f: fl.LinearSDE(
        lambda t, u: f(t, u) * MATRIX, lambda t, u: f(t, u) * NOISE, lambda t, u: f(t, u) * jnp.ones(2)
    ),
    "discrete": lambda f: fl.Discrete(lambda t, x, u: f(t, u) * x, lambda t, x, u: f(t, u) * jnp.eye(2)),
    "linear_discrete": lambda f: fl.LinearDiscrete(
        lambda t, u: f(t, u) * MATRIX, lambda t, u: f(t, u) * jnp.eye(2), lambda t, u: f(t, u) * jnp.ones(2)
    ),
    "since_last": since_last,
    "symplectic": lambda f: fl.Symplectic(fl.SDE(Pulled(f), NOISE), steps=3),
    "bilinear": lambda f: fl.Bilinear(
        lambda t, u: f(t, u) * MATRIX, lambda t, u: f(t, u) * NOISE, lambda t, u: f(t, u) * jnp.ones(2), steps=3
    ),
    "closed_form": lambda f: fl.ClosedForm(2, lambda t, u: f(t, u) * jnp.ones(2), width=4, key=KEY),
    "mixed_linear": lambda f: fl.MixedLinear(MATRIX[None], lambda x: jnp.ones(1), lambda t, u: f(t, u) * NOISE),
    "jumps_at_data": lambda f: fl.JumpsAtData(fl.RungeKutta(sde(f), steps=3), lambda t, x, u: f(t, u) * x),
}
SEEING = {
    "linear_gaussian": lambda f: fl.LinearGaussianObservation(
        lambda t, u: f(t, u) * jnp.ones((1, 2)), lambda t, u: f(t, u) * jnp.eye(1), lambda t, u: f(t, u) * jnp.ones(1)
    ),
    "gaussian": lambda f: fl.GaussianObservation(lambda t, x, u: f(t, u) * x[:1], lambda t, x, u: f(t, u) * jnp.eye(1)),
    "distribution": lambda f: fl.DistributionObservation(lambda t, x, u: dist.Normal(f(t, u) * x[:1], f(t, u))),
}


def of_input(t, u):
    return u


def by_hand(function):
    return lambda t, u: function(t)


@pytest.mark.parametrize(("inputs", "function"), [(LINEAR, lines), (HELD, stairs)], ids=["linear", "held"])
@pytest.mark.parametrize("name", READING)
def test_a_transition_reads_inputs_at_its_own_time(name, inputs, function):
    """The same draws, to rounding, as functions of t written by hand; the gap holds two knots."""
    draws = [
        jax.jit(lambda x, u, make=make: make.sample_many(x, jnp.asarray(0.1), jnp.asarray(0.9), u, key=KEY))(
            jnp.tile(X, (20, 1)), u
        )
        for make, u in ((READING[name](of_input), inputs), (READING[name](by_hand(function)), None))
    ]
    np.testing.assert_allclose(*draws, rtol=1e-12, atol=1e-13)
    still = READING[name](lambda t, u: 0.5).sample_many(jnp.tile(X, (20, 1)), 0.1, 0.9, key=KEY)
    assert np.abs(draws[0] - still).max() > 1e-3


@pytest.mark.parametrize("name", SEEING)
def test_an_observation_reads_inputs_at_its_time(name):
    y, t = jnp.array([0.3]), jnp.asarray(0.4)
    ours, theirs = SEEING[name](of_input), SEEING[name](by_hand(lines))
    np.testing.assert_allclose(ours.log_prob(y, X, t, LINEAR), theirs.log_prob(y, X, t), rtol=1e-12)
    np.testing.assert_allclose(ours.sample(X, t, LINEAR, key=KEY), theirs.sample(X, t, key=KEY), rtol=1e-12)
    assert abs(ours.log_prob(y, X, t, LINEAR) - ours.log_prob(y, X, t, jnp.asarray(0.6))) > 1e-3


def test_every_kind_is_tried():
    for registry, tried in ((TRANSITIONS, READING), (OBSERVATIONS, SEEING)):
        kinds = [{type(make(*given)) for make in made.values()} for made, given in ((registry, ()), (tried, (of_input,)))]
        assert kinds[0] == kinds[1]


POLYGON = 1.25 * (0.3 + 1.2) / 2 + 0.25 * (1.2 + 0.1) / 2 + 0.5 * (0.1 + 0.1 + 0.8 / 3) / 2
STAIRS = 1.25 * 0.3 + 0.25 * 1.2 + 0.5 * 0.1


@pytest.mark.parametrize(
    ("scheme", "inputs", "area"), [(fl.RungeKutta, LINEAR, POLYGON), (fl.EulerMaruyama, HELD, STAIRS)], ids=["linear", "held"]
)
def test_drift_integrates_to_the_area(scheme, inputs, area):
    """dx = u dt from -1 to 1. A fourth-order step is exact for a polygon with its corners between substeps, Euler's for
    stairs; both to rounding, as all the times are dyadic."""
    motion = scheme(fl.SDE(lambda t, x, u: u[None], jnp.zeros(1)), steps=8)
    np.testing.assert_allclose(motion.sample(jnp.zeros(1), -1.0, 1.0, inputs, key=KEY), area, rtol=1e-13)


def model(f):
    transition = fl.EulerMaruyama(fl.SDE(lambda t, x, u: f(t, u) - x, jnp.array([0.4])), steps=4)
    seen = fl.GaussianObservation(lambda t, x, u: f(t, u) * x, jnp.array([[0.2]]))
    return fl.StateSpaceModel(fl.Gaussian([0.0], 1.0, time=-0.5), transition, seen)


DATA = fl.Dataset(np.linspace(-0.3, 2.3, 14), np.sin(np.arange(14.0)), LINEAR)


@pytest.mark.parametrize("make", [fl.ExtendedKalman, lambda: fl.EnsembleKalman(20), lambda: fl.ParticleFilter(20)])
def test_drivers_carry_functions_of_time(make):
    """A run with inputs, by hand, in two slices and streamed: the same beliefs."""
    out = fl.run(make(), model(of_input), DATA, key=KEY)
    plain = fl.run(make(), model(by_hand(lambda t: LINEAR(t))), fl.Dataset(DATA.times, DATA.values), key=KEY)
    np.testing.assert_allclose(out.mean, plain.mean, rtol=1e-12)
    session = fl.Session(make(), model(of_input), key=KEY)
    reports = [session.observe(float(t), np.asarray(y), DATA.inputs) for t, y in zip(DATA.times, DATA.values, strict=True)]
    np.testing.assert_allclose([r.mean for r in reports], out.mean, rtol=1e-10)
    ahead = [
        fl.forecast(make(), model(f), out.last, [2.5, 3.0], inputs=u, key=KEY).observations
        for f, u in ((of_input, LINEAR), (by_hand(LINEAR), None))
    ]
    np.testing.assert_allclose(*ahead, rtol=1e-12)
    assert np.isfinite(session.forecast([2.5, 3.0], inputs=LINEAR).states).all()


def test_simulation_and_parts_of_a_series():
    paths = [fl.simulate(model(f), DATA.times, inputs=u, key=KEY) for f, u in ((of_input, LINEAR), (by_hand(LINEAR), None))]
    np.testing.assert_allclose(paths[0][1], paths[1][1], rtol=1e-12)
    np.testing.assert_array_equal(DATA[3:].inputs(0.4), LINEAR(0.4))
    np.testing.assert_array_equal(DATA.datum(2).inputs(0.4), LINEAR(0.4))


def test_datetimes_are_put_on_the_clock_of_the_data():
    days = np.array(["2020-03-01", "2020-03-03"], "datetime64[D]")
    data = fl.Dataset(
        np.array(["2020-03-02T00", "2020-03-02T12"], "datetime64[h]"), [0.0, 0.0], fl.Linear(days, [0.0, 48.0]), unit="h"
    )
    np.testing.assert_allclose([data.inputs(t) for t in data.times], [24.0, 36.0])


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: fl.Held([0.0, 1.0], [1.0]), "values: 2 rows"),
        (lambda: fl.Held([0.0, 0.0], [1.0, 2.0]), "times: not increasing at row 1"),
        (lambda: fl.Linear([1.0, 0.0], [1.0, 2.0]), "times: decreasing at row 1"),
        (lambda: fl.Linear([0.0], [1.0]), "times: at least 2 rows"),
        (lambda: fl.Linear([0.0, np.nan], [1.0, 2.0]), "times: not finite at row 1"),
        (lambda: fl.Held([0.0, 1.0], [1.0, np.inf]), "inputs: not finite"),
        (lambda: fl.Held([0.0, 1.0], ["a", "b"]), "inputs: numbers are needed"),
        (lambda: fl.Dataset([-2.0, 0.0], [1.0, 2.0], LINEAR), "inputs: they begin at -1, after the first datum at -2"),
        (
            lambda: fl.Dataset([0.0], [1.0], fl.Held(np.array(["2020-01-01"], "datetime64[D]"), [1.0])),
            "inputs: their times are",
        ),
    ],
)
def test_refused_by_name(make, words):
    with pytest.raises((ValueError, TypeError), match=words):
        make()
