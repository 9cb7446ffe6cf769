"""Discretising each distinct gap once changes nothing but the time that it takes."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest

import filterlearn as fl
from filterlearn.models.gaps import distinct_gaps
from filterlearn.numerics.discretise import linear_laws
from tests.cases import FILTERS, MATRIX, NOISE, linear_data, linear_model

VALUES = np.random.default_rng(3).normal(size=(40, 2))
TIMES = {
    "regular": np.arange(40.0),
    "rounded": 0.1 * np.arange(40),
    "irregular": np.cumsum(np.random.default_rng(4).uniform(0.1, 0.9, 40)),
    "repeated": np.repeat(np.arange(20.0), 2),
    "one row": np.array([2.0]),
}


def closed_form(a, b, q, h):
    """By eigenvectors: V [(V^-1 Q V^-T)_ij (exp((l_i + l_j) h) - 1) / (l_i + l_j)] V'."""
    values, v = np.linalg.eig(a)
    w = np.linalg.inv(v)
    pair = values[:, None] + values[None]
    return (
        v @ np.diag(np.exp(values * h)) @ w,
        v @ (np.expm1(values * h) / values * (w @ b)),
        v @ ((w @ q @ w.T) * np.expm1(pair * h) / pair) @ v.T,
    )


@pytest.mark.parametrize("h", [1e-9, 0.1, 1.0, 10.0, 1e4])
def test_a_stiff_system_keeps_its_digits(h):
    """Rates 1 and 100: the block exponential of Van Loan has errors of 1e23 at a gap of 1."""
    a, b, q = np.array([[-1.0, 0.5], [0.3, -100.0]]), np.array([1.0, 2.0]), np.array([[1.0, 0.2], [0.2, 0.5]])
    ours = linear_laws(jnp.asarray(a), jnp.asarray(b), jnp.asarray(q), jnp.array([h]))
    for mine, exact in zip(ours, closed_form(a, b, q, h), strict=True):
        # each of up to 21 doublings adds a rounding error or two, 2e-16
        np.testing.assert_allclose(mine[0], exact, rtol=1e-12, atol=1e-13 * np.abs(exact).max())


def test_integrators_are_exact():
    """dx = v dt, dv = dW: Q = [[h^3/3, h^2/2], [h^2/2, h]]."""
    h = 7.0
    a, b, q = linear_laws(
        jnp.array([[0.0, 1.0], [0.0, 0.0]]), jnp.array([0.0, 1.0]), jnp.diag(jnp.array([0.0, 1.0])), jnp.array([h])
    )
    np.testing.assert_allclose(a[0], [[1, h], [0, 1]], rtol=1e-14)
    np.testing.assert_allclose(b[0], [h**2 / 2, h], rtol=1e-14)
    np.testing.assert_allclose(q[0], [[h**3 / 3, h**2 / 2], [h**2 / 2, h]], rtol=1e-14)


@eqx.filter_jit
def one_step(model, belief, datum):
    return fl.step(fl.Kalman(), model, belief, datum)


CASES = [(name, 0.0) for name in TIMES] + [("irregular", start) for start in (None, -1.5, 2.25, 100.0)] + [("rounded", 0.35)]


@pytest.mark.parametrize(("name", "start"), CASES)
def test_tables_equal_stepping_by_hand(name, start):
    """Whether the belief starts at the first datum, before, among or after the data; the late ones change nothing."""
    data, model = fl.Dataset(TIMES[name], VALUES[: len(TIMES[name])]), linear_model()
    model = fl.StateSpaceModel(fl.Gaussian([1.0, -1.0], 0.5, time=start), model.transition, model.observation)
    belief, terms = fl.Kalman().init(model), []
    for k in range(len(data)):
        belief, info = one_step(model, belief, data.datum(k))
        terms.append(info.log_evidence)
    seen = jax.jit(lambda d: fl.run(fl.Kalman(), model, d, save=lambda belief, info: info.log_evidence).saved)
    for scanned in (fl.run(fl.Kalman(), model, data).log_evidence, seen(data)):
        np.testing.assert_allclose(scanned, jnp.array(terms), rtol=1e-12, atol=1e-12)


def test_the_number_of_gaps_seldom_retraces():
    """Regular series of one length share a trace, and so do irregular ones, whatever theta."""
    built = []

    def build(p):
        built.append(0)
        return fl.StateSpaceModel(linear_model().initial, fl.LinearSDE(p["a"] * MATRIX, NOISE), linear_model().observation)

    family = fl.ModelFamily(build, {"a": fl.Parameter(dist.LogNormal(0.0, 1.0))})
    irregular = np.cumsum(np.random.default_rng(5).uniform(0.1, 0.9, (3, 40)), axis=1)
    for kind in ((np.arange(40.0), 2 * np.arange(40.0), 5.0 + np.arange(40.0)), irregular):
        counts = []
        for k, times in enumerate(kind):
            fl.log_evidence(fl.Kalman(), family(jnp.full(1, 0.1 * k)), fl.Dataset(times, VALUES))
            counts.append(len(built))
        assert counts[0] == counts[1] == counts[2]
    assert distinct_gaps(np.arange(40.0)).first.shape == (1,)


@pytest.mark.parametrize("name", ["regular", "irregular"])
def test_gradient_through_the_tables(name):
    data, model = fl.Dataset(TIMES[name], VALUES), linear_model()

    @jax.jit
    def evidence(scale):
        transition = fl.LinearSDE(scale * MATRIX, scale * NOISE, scale * jnp.array([0.1, -0.2]))
        return fl.log_evidence(fl.Kalman(), fl.StateSpaceModel(model.initial, transition, model.observation), data)

    difference = (evidence(1.1 + 1e-5) - evidence(1.1 - 1e-5)) / 2e-5
    np.testing.assert_allclose(jax.grad(evidence)(1.1), difference, rtol=1e-7)


def test_a_plain_model_is_built_once_and_not_in_each_verb():
    """One Python call of `build`, although each verb asks for the model."""
    built = []

    def build(p):
        built.append(0)
        return linear_model()

    family = fl.ModelFamily(build, {"a": fl.Parameter(dist.Normal(0.0, 1.0))})
    for name in ("kalman", "particle"):
        built.clear()
        fl.log_evidence(FILTERS[name](), family(jnp.zeros(1)), linear_data(12), key=jax.random.key(0))
        assert len(built) == 1
