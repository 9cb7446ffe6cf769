"""Diffrax's solvers, fed with the normals of a transition."""

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optimistix
import pytest

import filterlearn as fl
from tests.cases import MATRIX, NOISE, linear_sde

X = jnp.array([0.7, -0.4])
CURVED = fl.SDE(lambda t, x, u: jnp.sin(t + x[::-1]), lambda t, x, u: 0.3 + 0.2 * jnp.cos(x + t))
FULL = fl.SDE(CURVED.drift, lambda t, x, u: jnp.outer(jnp.cos(x), jnp.array([1.0, 0.5, 0.2])))
ADDITIVE = fl.SDE(CURVED.drift, NOISE)
TIGHT = optimistix.Newton(rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize(
    ("ours", "solver", "sde"),
    [(fl.EulerMaruyama, diffrax.Euler(), sde) for sde in (CURVED, FULL, ADDITIVE)]
    + [(fl.Milstein, diffrax.ItoMilstein(), CURVED)],
)
def test_the_schemes_of_both_libraries_are_equal(ours, solver, sde):
    """To rounding, on the same normals."""
    one, other = ours(sde, steps=7), fl.Diffrax(sde, solver, steps=7)
    noise = one.draw_noise(1, X, key=jax.random.key(0))[0]
    np.testing.assert_allclose(other.push(X, 0.5, 1.7, None, noise), one.push(X, 0.5, 1.7, None, noise), atol=1e-14)


class Table(diffrax.AbstractBrownianPath):
    """Increments and areas of equal substeps, by row; from time 0."""

    h: float
    w: jax.Array
    area: jax.Array
    levy_area: type = diffrax.SpaceTimeLevyArea
    t0 = 0.0
    t1 = np.inf

    def evaluate(self, t0, t1=None, left=True, use_levy=False):
        row = jnp.round(t0 / self.h).astype(int)
        return diffrax.SpaceTimeLevyArea(t1 - t0, self.w[row], self.area[row]) if use_levy else self.w[row]


@pytest.mark.parametrize(
    ("sde", "solver"),
    [(FULL, diffrax.Euler()), (CURVED, diffrax.ItoMilstein())]
    + [
        (ADDITIVE, solver)
        for solver in (
            *(diffrax.Heun(), diffrax.StratonovichMilstein()),
            *(diffrax.SEA(), diffrax.ShARK(), diffrax.SlowRK(), diffrax.SPaRK()),
        )
    ],
    ids=lambda given: type(given).__name__,
)
def test_equals_diffeqsolve_on_the_same_increments(sde, solver):
    transition, h = fl.Diffrax(sde, solver, steps=5), 0.2
    noise = transition.draw_noise(1, X, key=jax.random.key(0))[0]
    m = transition.brownian(X, None)
    area = noise[:, m:] * np.sqrt(h / 12) if noise.shape[1] > m else 0 * noise
    path = Table(h, noise[:, :m] * np.sqrt(h), area)
    terms = diffrax.MultiTerm(
        diffrax.ODETerm(lambda t, y, args: sde.drift(t, y, None)),
        diffrax.ControlTerm(lambda t, y, args: sde.noise_matrix(t, y, None), path),
    )
    known = diffrax.diffeqsolve(terms, solver, 0.0, 1.0, h, X, adjoint=diffrax.DirectAdjoint()).ys[-1]
    np.testing.assert_allclose(transition.push(X, 0.0, 1.0, None, noise), known, atol=1e-13)


def strong_error(solver, steps):
    """The exact root mean square of scheme minus solution at t = 1, for dx = -k x dt + s dW driven by one path: the step is
    linear in x, in W = int dW and in the area int (1/2 - r/h) dW, whose covariances with int exp(-k (h - r)) dW are known."""
    k, s, h = 1.3, 0.5, 1.0 / steps
    transition = fl.Diffrax(fl.SDE(lambda t, x, u: -k * x, jnp.array([s])), solver, steps=1)

    def moved(x, z):
        return transition.diffuse(x, jnp.zeros(()), jnp.asarray(h), None, z)[0]

    at = jnp.zeros(1), jnp.zeros(transition.width(jnp.zeros(1), None))
    a, b = (np.ravel(jax.grad(moved, i)(*at)) for i in (0, 1))
    r, weight = np.polynomial.legendre.leggauss(20)
    r, weight = h * (r + 1) / 2, h * weight / 2
    kernel, areas = s * np.exp(-k * (h - r)), [np.ones_like(r) / np.sqrt(h), (0.5 - r / h) * np.sqrt(12 / h)][: len(b)]
    cross = b @ [weight @ (kernel * area) for area in areas]
    noise = np.array([[b @ b, cross], [cross, weight @ kernel**2]])
    move, covariance = np.diag([a[0], np.exp(-k * h)]), np.zeros((2, 2))
    for _ in range(steps):
        covariance = move @ covariance @ move.T + noise
    return np.sqrt([1, -1] @ covariance @ [1, -1])


@pytest.mark.parametrize(
    ("solver", "order"),
    [(diffrax.Euler(), 1), (diffrax.Heun(), 1), (diffrax.SEA(), 1), (diffrax.ShARK(), 2), (diffrax.SRA1(), 2)],
    ids=lambda given: type(given).__name__,
)
def test_strong_order_with_additive_noise(solver, order):
    """Without its Levy area, or with one of another law, a solver of order 1.5 (2 on a linear drift) would have order 1."""
    errors = [strong_error(solver, steps) for steps in (32, 64, 128)]
    assert abs(np.log2(errors[0] / errors[1]) - order) < 0.1
    assert abs(np.log2(errors[1] / errors[2]) - order) < 0.05


def test_a_stiff_drift_without_noise():
    """Rates 1 and 10,000 at a step of 1/8, where an explicit solver explodes; the extended filter takes it too."""
    matrix = jnp.array([[-1.0, 0.0], [9_999.0, -10_000.0]])
    sde = fl.SDE(lambda t, x, u: matrix @ x, np.zeros((2, 0)))
    stiff = fl.Diffrax(sde, diffrax.Kvaerno5(root_finder=TIGHT), steps=8)
    exact, _, _ = fl.LinearSDE(matrix, jnp.zeros((2, 1))).discretise(0.0, 1.0)
    moved = stiff.sample(X, 0.0, 1.0, key=jax.random.key(0))
    np.testing.assert_allclose(moved, exact @ X, atol=1e-6)
    assert abs(fl.Diffrax(sde, diffrax.Tsit5(), steps=8).sample(X, 0.0, 1.0, key=jax.random.key(0))).max() > 1e6
    start = fl.Gaussian(X, 0.1 * jnp.eye(2), time=0.0)
    model = fl.StateSpaceModel(start, stiff, fl.LinearGaussianObservation([[1.0, 0.0]], [[1.0]]))
    ahead = fl.ExtendedKalman().predict(model, start, 1.0)
    np.testing.assert_allclose(ahead.mean, exact @ X, atol=1e-6)
    np.testing.assert_allclose(ahead.covariance, 0.1 * exact @ exact.T, atol=1e-6)


def test_a_root_finder_that_fails_gives_nan():
    """Never a wrong number: two Newton steps cannot reach a tolerance of 1e-300."""
    hopeless = diffrax.Kvaerno5(root_finder=optimistix.Newton(rtol=1e-300, atol=1e-300), root_find_max_steps=2)
    transition = fl.Diffrax(fl.SDE(lambda t, x, u: -(x**3), np.zeros((2, 0))), hopeless, steps=1)
    assert np.isnan(transition.sample(X, 0.0, 1.0, key=jax.random.key(0))).all()


@pytest.mark.parametrize(
    "solver",
    [diffrax.Heun(), diffrax.ShARK(), diffrax.Kvaerno3(root_finder=TIGHT)],
    ids=lambda given: type(given).__name__,
)
def test_both_modes_of_differentiation_agree(solver):
    """By the state and by a parameter of the drift."""

    def moved(x, rate):
        noise = NOISE if isinstance(solver, diffrax.AbstractStratonovichSolver) else np.zeros((2, 0))
        transition = fl.Diffrax(fl.SDE(lambda t, y, u: -rate * y**3, noise), solver, steps=3)
        return transition.sample(x, 0.0, 1.0, key=jax.random.key(0))

    @jax.jit
    def slopes(x, rate):
        ahead, back = (mode(moved, (0, 1))(x, rate) for mode in (jax.jacfwd, jax.jacrev))
        tangent = ahead[0] @ jnp.array([1.0, 2.0]) + 3 * ahead[1]
        return ahead, back, tangent, (moved(x + 1e-5 * jnp.array([1.0, 2.0]), rate + 3e-5) - moved(x, rate)) / 1e-5

    ahead, back, tangent, quotient = slopes(X, 1.5)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-12), ahead, back)
    np.testing.assert_allclose(tangent, quotient, atol=1e-3)


def test_a_late_time_in_single_precision_keeps_its_noise():
    """At t = 1e6 a float32 cannot tell t + 0.01 from t; the increments must not vanish with it."""
    transition = fl.Diffrax(fl.SDE(lambda t, x, u: 0 * x, jnp.ones(1, jnp.float32)), diffrax.Heun(), steps=8)
    start, noise = jnp.zeros(1, jnp.float32), jnp.ones((8, 1), jnp.float32)
    t = jnp.float32(1e6)
    moved = transition.push(start, t, t + jnp.float32(0.125), None, noise)
    np.testing.assert_allclose(moved, [8 * np.sqrt(1 / 64)], rtol=1e-6)


def test_the_law_of_a_linear_sde():
    """Substeps of `moments`, chained, converge to the exact covariance with the solver's weak order, 2."""
    _, _, exact = fl.LinearSDE(MATRIX, NOISE).discretise(0.0, 1.0)
    start = fl.Gaussian(X, jnp.zeros((2, 2)), time=0.0)
    seen = fl.LinearGaussianObservation([[1.0, 0.0]], [[1.0]])

    def error(steps):
        transition = fl.Diffrax(linear_sde(), diffrax.ShARK(), steps=steps)
        return abs(
            fl.ExtendedKalman().predict(fl.StateSpaceModel(start, transition, seen), start, 1.0).covariance - exact
        ).max()

    assert abs(np.log2(error(8) / error(16)) - 2) < 0.1


def test_traced_diffusions_and_solvers_with_arrays():
    """The diffusion may be a parameter, and a solver's tolerances may be arrays."""

    @eqx.filter_jit
    def moved(scale, solver):
        return fl.Diffrax(fl.SDE(lambda t, x, u: -x, scale * jnp.ones(2)), solver, steps=2).sample(X, 0.0, 1.0, key=key)

    key = jax.random.key(0)
    whole = fl.Diffrax(fl.SDE(lambda t, x, u: -x, 0.5 * jnp.ones(2)), diffrax.Heun(), steps=2)
    np.testing.assert_allclose(moved(0.5, diffrax.Heun()), whole.sample(X, 0.0, 1.0, key=key), rtol=1e-14)
    stiff = diffrax.Kvaerno3(root_finder=optimistix.Newton(rtol=jnp.asarray(1e-8), atol=jnp.asarray(1e-8)))
    still = fl.Diffrax(fl.SDE(lambda t, x, u: -x, np.zeros((2, 0))), stiff, steps=32)
    np.testing.assert_allclose(still.sample(X, 0.0, 1.0, key=key), X * np.exp(-1), atol=1e-5)
