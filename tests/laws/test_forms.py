"""Laws of the forms of a Gaussian: one answer by both, in single precision too where the square root is needed."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import filterlearn as fl
from filterlearn.numerics.square_root import triangular
from tests.cases import FORMS, linear_data, linear_model

RNG = np.random.default_rng(3)


@pytest.mark.parametrize("shape", [(1, 3), (4, 4), (7, 9)])
def test_triangular_is_the_cholesky_factor_with_its_derivatives(shape):
    columns, change = jnp.asarray(RNG.normal(size=(2, *shape)))

    def dense(c):
        return jnp.linalg.cholesky(c @ c.T)

    for ours, theirs in zip(*(jax.jvp(f, (columns,), (change,)) for f in (triangular, dense)), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-12)
    weigh = jnp.asarray(RNG.normal(size=(shape[0],) * 2))
    back = [jax.grad(lambda c, f=f: jnp.sum(weigh * jnp.tril(f(c))))(columns) for f in (triangular, dense)]
    np.testing.assert_allclose(*back, atol=1e-12)


def test_triangular_takes_any_rank():
    """Nothing, a row that another spans, more rows than columns: L L' = C C', and derivatives are finite."""
    spanned = jnp.array([[1.0, 0.0, 2.0], [2.0, 0.0, 4.0], [0.0, 1.0, 1.0]])
    for columns in (jnp.zeros((3, 4)), spanned, jnp.asarray(RNG.normal(size=(6, 2)))):
        lower = triangular(columns)
        np.testing.assert_allclose(lower @ lower.T, columns @ columns.T, atol=1e-14)
        assert (jnp.diagonal(lower) >= 0).all()
        assert jnp.isfinite(jax.jacrev(triangular)(columns)).all()


def plain_joseph(p, h, r):
    """(I - K H) P (I - K H)' + K R K', and the same to 19 digits, datum by datum, for a diagonal R."""
    k = np.linalg.solve(h @ p @ h.T + r, h @ p).T
    left = np.eye(len(p)) - k @ h
    exact = p.astype(np.longdouble)
    for row, noise in zip(h.astype(np.longdouble), np.diag(r), strict=True):
        gain = exact @ row / (row @ exact @ row + noise)
        rest = np.eye(len(p)) - np.outer(gain, row)
        exact = rest @ exact @ rest.T + noise * np.outer(gain, gain)
    return left @ p @ left.T + k @ r @ k.T, exact


@settings(max_examples=30, deadline=None, derandomize=True)
@given(st.sampled_from([(1, 1), (3, 2), (4, 4), (6, 5), (12, 7)]), st.integers(0, 6), st.integers(-8, 0), st.integers(0, 99))
def test_moments_are_corrected_as_well_as_by_the_plain_form(shape, vague, precise, seed):
    """Priors to 1e6 and noise to 1e-8, sizes on both sides of what is unrolled: error at most ten times that of the plain
    form, or the rounding of the answer."""
    rng, (n, m) = np.random.default_rng(seed), shape
    root = rng.normal(size=(n, n)) * 10.0 ** rng.uniform(0, vague / 2, size=n)[:, None]
    p, h, r = root @ root.T, rng.normal(size=(m, n)), np.diag(10.0 ** rng.uniform(precise, 0, size=m))
    new = fl.MomentForm().corrected(jnp.asarray(p), jnp.asarray(h), jnp.asarray(r), jnp.ones(m, bool))
    plain, exact = plain_joseph(p, h, r)
    np.testing.assert_allclose(new.gain, np.linalg.solve(h @ p @ h.T + r, h @ p).T, rtol=1e-4, atol=1e-6)
    error, known = np.abs(np.asarray(new.spread) - exact).max(), np.abs(plain - exact).max()
    assert error < 10 * known + 1e3 * np.finfo(float).eps * np.abs(exact).max(), (error, known)


def curved(scale=1.0):
    """A pendulum, its sine and its velocity seen."""
    drift = lambda t, x, u: jnp.stack([x[1], -jnp.sin(x[0])])  # noqa: E731
    transition = fl.EulerMaruyama(fl.SDE(drift, scale * jnp.array([[0.0], [0.5]])), steps=2)
    seen = fl.GaussianObservation(lambda t, x, u: jnp.stack([jnp.sin(x[0]), x[1]]), jnp.diag(jnp.array([0.1, 0.2])))
    return fl.StateSpaceModel(fl.Gaussian([0.5, 0.0], [[0.2, 0.1], [0.1, 0.3]], time=0.0), transition, seen)


@pytest.mark.parametrize(
    "made",
    [lambda form: fl.ExtendedKalman(3, form), lambda form: fl.SigmaPoint(fl.Unscented(), 2, form)],
    ids=["extended", "sigma_point"],
)
def test_both_forms_give_one_answer_and_one_derivative(made):
    """Nonlinear, iterated, with missing entries; the unscented rule has a negative weight."""
    data = linear_data(30)

    def answer(scale, form):
        save = lambda belief, info: (belief.mean, belief.covariance, info.log_evidence, info.predicted)  # noqa: E731
        return fl.run(made(form), curved(scale), data, save=save).saved

    both = [jax.jvp(lambda scale, name=name: answer(scale, FORMS[name]()), (1.1,), (1.0,)) for name in FORMS]
    for ours, theirs in zip(*map(jax.tree.leaves, both), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-9)


def known(rate):
    """A start known exactly, a constant beside it, and a state without noise."""
    transition = fl.LinearSDE([[-rate, 1.0], [0.0, 0.0]], [0.0, 0.0])
    seen = fl.LinearGaussianObservation([[1.0, 0.0]], [[0.2]])
    return fl.StateSpaceModel(fl.Gaussian([0.3, 1.0], [[0.0, 0.0], [0.0, 0.0]], time=0.0), transition, seen)


@pytest.mark.parametrize("name", FORMS)
def test_what_is_known_exactly_stays_known(name):
    """P = 0 and Q = 0: the evidence is that of a curve, and so is its derivative."""
    times = np.array([0.0, 0.5, 0.5, 1.7])
    values = np.array([0.2, 0.6, 0.1, 0.9])

    def exact(rate):
        curve = 0.3 * jnp.exp(-rate * times) + (1 - jnp.exp(-rate * times)) / rate
        return jnp.sum(jax.scipy.stats.norm.logpdf(values, curve, np.sqrt(0.2)))

    def evidence(rate):
        return fl.log_evidence(fl.Kalman(FORMS[name]()), known(rate), fl.Dataset(times, values))

    for ours, theirs in zip(*(jax.value_and_grad(f)(0.7) for f in (evidence, exact)), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-10)
    belief = fl.run(fl.Kalman(FORMS[name]()), known(0.7), fl.Dataset(times, values)).last
    np.testing.assert_array_equal(belief.covariance, 0.0)


def sharp(dtype):
    """Three slow states of variance 100, two sensors of variance 1e-8 that look elsewhere at each time."""
    length, rng = 30, np.random.default_rng(0)
    x, looks = 10 * rng.normal(size=3), rng.normal(size=(length, 2, 3))
    values = [look @ (x := x + 1e-4 * rng.normal(size=3)) + 1e-4 * rng.normal(size=2) for look in looks]
    still = fl.LinearDiscrete(np.eye(3), 1e-8 * np.eye(3))
    seen = fl.LinearGaussianObservation(lambda t, u: u, 1e-8 * np.eye(2))
    model = fl.StateSpaceModel(fl.Gaussian(np.zeros(3), 100.0, time=0.0), still, seen)
    data = fl.Dataset(np.arange(1.0, length + 1), np.array(values), looks)
    return jax.tree.map(lambda leaf: jnp.asarray(leaf, dtype) if eqx.is_inexact_array(leaf) else leaf, (model, data))


@pytest.mark.parametrize(
    "made",
    [fl.Kalman, lambda form=None: fl.ExtendedKalman(1, form), lambda form=None: fl.SigmaPoint(form=form)],
    ids=["kalman", "extended", "sigma_point"],
)
def test_near_perfect_sensors_in_single_precision(made):
    """Variances of 100 and of 1e-8 differ by 1e10, which single precision (6e-8) does not hold: moments are lost. Their
    roots differ by 1e5: the square root keeps, without being asked, what 1e5 roundings leave of the covariance, 6e-3, which
    the next data improve. Values of 30 are rounded by 2e-6 on the way in, and predictions too: 4 % of a sensor's sd."""
    save = lambda belief, info: (belief.mean, belief.covariance, info.flags)  # noqa: E731
    mean, covariance, _ = fl.run(fl.Kalman(), *sharp(jnp.float64), save=save).saved
    near, found, flags = map(np.asarray, fl.run(made(), *sharp(jnp.float32), save=save).saved)
    assert near.dtype == np.float32
    assert (flags == 0).all()
    sd = np.sqrt(np.diagonal(covariance, axis1=1, axis2=2))
    assert (abs(np.linalg.eigvalsh(found)[:, 0] / np.linalg.eigvalsh(covariance)[:, 0] - 1)[5:] < 1e-2).all()
    assert (abs(found - covariance) < 1e-2 * sd[:, :, None] * sd[:, None])[5:].all()
    assert (abs(near - mean) < 4e-2 * sd)[5:].all()
    assert fl.run(made(fl.MomentForm()), *sharp(jnp.float32), save=save).saved[2].any()


def test_the_form_follows_the_precision():
    for dtype, kind in ((jnp.float32, fl.SquareRootGaussian), (jnp.float64, fl.Gaussian)):
        model = jax.tree.map(lambda leaf: jnp.asarray(leaf, dtype), linear_model())  # noqa: B023
        for made in (fl.Kalman, fl.ExtendedKalman, fl.SigmaPoint):
            assert type(made().init(model)) is kind
            assert type(made(form=fl.SquareRootForm()).init(model)) is fl.SquareRootGaussian
            assert type(made(form=fl.MomentForm()).init(model)) is fl.Gaussian
