"""Laws of resamplers."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import filterlearn as fl
from filterlearn.numerics.sampling import normals
from tests.cases import LOG_WEIGHTS, POINTS, RESAMPLERS, SMOOTH_RESAMPLERS

W = jnp.log(jnp.array([0.5, 0.05, 0.2, 0.0, 0.25]))


@pytest.mark.parametrize("name", RESAMPLERS)
def test_counts_are_unbiased(name):
    resampler = RESAMPLERS[name]()

    def counts(key):
        points, weights = resampler.resample(W, jnp.arange(5), key=key)
        return jnp.zeros(5).at[points].add(5 * jnp.exp(weights))

    many = jax.vmap(counts)(jax.random.split(jax.random.key(0), 20_000))
    error = jnp.abs(many.mean(0) - 5 * jnp.exp(W))
    assert (error <= 5 * many.std(0) / np.sqrt(20_000) + 1e-12).all()


def test_adaptive_keeps_good_weights():
    points, weights = fl.Adaptive(fl.Systematic(), 0.1).resample(W, jnp.arange(5), key=jax.random.key(0))
    assert (points == jnp.arange(5)).all()
    assert (weights == W).all()


def test_stop_gradient_carries_the_score_of_the_evidence():
    """The derivative of log(mean of the new weights) is that of the old ones in expectation."""

    def new(shift, key):
        weights = jax.nn.log_softmax(W.at[3].set(-3.0) + shift * jnp.arange(5))
        points, after = fl.StopGradient(fl.Multinomial()).resample(weights, jnp.arange(5.0), key=key)
        return jnp.sum(jnp.exp(after) * points)

    keys = jax.random.split(jax.random.key(1), 20_000)
    slopes = jax.vmap(jax.grad(new), (None, 0))(0.1, keys)
    exact = jax.grad(lambda s: jnp.sum(jax.nn.softmax(W.at[3].set(-3.0) + s * jnp.arange(5)) * jnp.arange(5.0)))(0.1)
    assert abs(slopes.mean() - exact) < 5 * slopes.std() / np.sqrt(20_000)


@pytest.mark.parametrize("name", RESAMPLERS | SMOOTH_RESAMPLERS)
def test_the_weighted_mean_stays(name):
    """500 points, 400 keys: five standard errors, or rounding for what is deterministic; a bias of order 1/N hides below."""
    resampler, points = (RESAMPLERS | SMOOTH_RESAMPLERS)[name](), jnp.asarray(POINTS)

    def mean(key):
        new, weights = resampler.resample(LOG_WEIGHTS, points, key=key)
        return jnp.append(jnp.exp(weights) @ new, jnp.sum(jnp.exp(weights)))

    means = jax.lax.map(mean, jax.random.split(jax.random.key(2), 400))
    error = means.mean(0) - jnp.append(jnp.exp(LOG_WEIGHTS) @ points, 1.0)
    assert (abs(error) <= 5 * means.std(0) / 20 + 1e-9).all()


@pytest.mark.parametrize("name", ["stratified", "residual"])
def test_less_variance_than_multinomial(name):
    """Douc & Cappe: for every function of the points."""

    def mean(resampler, key):
        return jnp.mean(jnp.sin(3 * resampler.resample(LOG_WEIGHTS, jnp.asarray(POINTS[:, 0]), key=key)[0]))

    keys = jax.random.split(jax.random.key(3), 1000)
    variances = [jax.vmap(lambda k, r=r: mean(r, k))(keys).var() for r in (RESAMPLERS[name](), fl.Multinomial())]
    assert variances[0] < 0.8 * variances[1]


def test_regularised_widens_by_its_kernel():
    """The covariance of the weighted law times 1 + h^2, h = .5 x 500^(-1/7)."""
    weights, points = jnp.exp(LOG_WEIGHTS), jnp.asarray(POINTS)
    draws = jax.vmap(lambda k: SMOOTH_RESAMPLERS["regularised"]().resample(LOG_WEIGHTS, points, key=k)[0])(
        jax.random.split(jax.random.key(4), 400)
    )
    found = jax.vmap(lambda x: jnp.cov(x.T, ddof=0))(draws)
    off = points - weights @ points
    expected = (weights[:, None] * off).T @ off * (1 + 0.25 * 500 ** (-2 / 7))
    assert (abs(found.mean(0) - expected) < 5 * found.std(0) / 20 + 2 * abs(expected) / 500).all()


def test_transport_on_the_line_is_the_monotone_map():
    """Without entropy, point k averages the quantiles between (k - 1) / n and k / n (Villani 2003, theorem 2.18)."""
    points = jnp.array([[3.0], [-1.0], [0.5], [2.0], [0.0]])
    weights = jnp.array([0.1, 0.35, 0.05, 0.2, 0.3])
    new, _ = fl.OptimalTransport(2e-3, 1e-7).resample(jnp.log(weights), points, key=None)
    order = np.argsort(points[:, 0])
    cumulative = np.cumsum(weights[order])
    levels = (np.arange(200_000) + 0.5) / 200_000
    quantiles = np.asarray(points[:, 0])[order][np.minimum(np.searchsorted(cumulative, levels), 4)].reshape(5, -1).mean(1)
    np.testing.assert_allclose(new[order, 0], quantiles, atol=1e-2)


@pytest.mark.parametrize(
    "resampler",
    [fl.OptimalTransport(0.05, 1e-10), fl.OptimalTransport(0.5, 1e-10), fl.Diffusion()],
    ids=["sharp_transport", "transport", "diffusion"],
)
def test_the_derivative_is_that_of_the_map(resampler):
    """Against finite differences at a fixed key, in weights and points, also where epsilon is small."""
    points, weights = jnp.asarray(POINTS[:20, :2]), jnp.linspace(0.0, 2.0, 20)

    @jax.jit
    def value(shift):
        moved = points + shift * jnp.cos(points)
        log_weights = jax.nn.log_softmax(weights * (1 + shift))
        new = resampler.resample(log_weights, moved, key=jax.random.key(5))[0]
        return jnp.sum(jnp.sin(new) * jnp.arange(20)[:, None])

    change = (value(1e-5) - value(-1e-5)) / 2e-5
    assert abs(jax.grad(value)(0.0) / change - 1) < 1e-4


def test_diffusion_on_the_line_carries_quantiles_to_quantiles():
    """Monotone, so that a normal's quantile u goes to the points' quantile u, within 1 / steps on average."""
    points = jnp.array([[3.0], [-1.0], [0.5], [2.0], [0.0]])
    order = np.argsort(points[:, 0])
    cumulative = np.cumsum(np.exp(W)[order])

    def error(steps, key):
        new = fl.Diffusion(steps).resample(W, points, key=key)[0][:, 0]
        levels = jax.scipy.special.ndtr(normals(key, points.shape, points.dtype)[:, 0])
        return abs(new - points[order, 0][jnp.minimum(jnp.searchsorted(cumulative, levels), 4)])

    keys = jax.random.split(jax.random.key(6), 1000)
    coarse, fine = (jax.vmap(lambda k, n=steps: error(n, k))(keys).mean() for steps in (16, 64))
    assert fine < min(coarse / 3, 1 / 64)


def test_diffusion_keeps_the_moments():
    """Two clouds apart: mean and covariance within 5 % of the points' at the default steps."""
    points = jnp.asarray(POINTS[:25, :2] + 6.0 * (np.arange(25) % 3 == 0)[:, None])
    log_weights = jax.nn.log_softmax(jnp.cos(jnp.arange(25.0)))
    keys = jax.random.split(jax.random.key(7), 1600)
    new = jax.vmap(lambda k: fl.Diffusion().resample(log_weights, points, key=k)[0])(keys)
    mean, weights = jnp.exp(log_weights) @ points, jnp.exp(log_weights)
    factor = jnp.linalg.cholesky((weights[:, None] * (points - mean)).T @ (points - mean))
    white = jnp.linalg.solve(factor, (new.reshape(-1, 2) - mean).T)
    assert (abs(white.mean(1)) < 0.05 + 5 / 200).all()
    assert (abs(white @ white.T / 40_000 - jnp.eye(2)) < 0.05 + 5 * np.sqrt(2) / 200).all()


def test_diffusion_of_points_that_do_not_spread():
    """Points that weigh nothing do not count, coordinates that are equal or bound to others stay so; single precision."""
    points = jnp.array([[1.0, 2.0, 5.0], [jnp.inf, 3.0, 5.0], [4.0, 8.0, 5.0], [3.0, 6.0, 5.0]], jnp.float32)
    log_weights = jnp.log(jnp.array([[0.25, 0.0, 0.25, 0.5], [0.0, 0.0, 1.0, 0.0]], jnp.float32))

    @jax.jit
    @jax.vmap
    def resampled(weights):
        resample = lambda x, w: fl.Diffusion().resample(w, x, key=jax.random.key(0))[0]  # noqa: E731
        slopes = jax.jacrev(resample, (0, 1))(points.at[1, 0].set(0.0), weights)
        return resample(points, weights), slopes

    (new, alone), slopes = resampled(log_weights)
    assert new.dtype == jnp.float32
    np.testing.assert_allclose(new[:, 1:], jnp.stack([2 * new[:, 0], jnp.full(4, 5.0)], axis=1), rtol=1e-6)
    np.testing.assert_array_equal(alone, jnp.tile(points[2], (4, 1)))
    assert all(jnp.isfinite(slope).all() for slope in slopes)


def test_soft_is_refused_outside_its_range():
    with pytest.raises(ValueError, match="softness: a number from 0 to 1"):
        fl.Soft(fl.Systematic(), 1.5)
    with pytest.raises(ValueError, match="epsilon: a positive number"):
        fl.OptimalTransport(0.0)


def test_soft_carries_the_derivative_of_the_evidence():
    """With softness 1 the choice does not see the weights, and the derivative is exact: log of the weighted mean."""
    values = jnp.arange(5.0)

    def mean(shift, key):
        weights = jax.nn.log_softmax(W.at[3].set(-3.0) + shift * values)
        new, after = fl.Soft(fl.Systematic(), 1.0).resample(weights, values, key=key)
        return jnp.exp(after) @ new

    exact = jax.grad(lambda s: jnp.sum(jax.nn.softmax(W.at[3].set(-3.0) + s * values) * values))(0.1)
    np.testing.assert_allclose(jax.grad(mean)(0.1, jax.random.key(0)), exact, rtol=1e-12)
