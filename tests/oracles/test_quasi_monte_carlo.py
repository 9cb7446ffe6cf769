"""Evenly spread points: their curve, their uniformity, and the particle filter made of them."""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest

import filterlearn as fl
from filterlearn.numerics.hilbert import hilbert_index, hilbert_order
from filterlearn.numerics.quasi import quasi_uniforms
from tests.cases import QUASI_FILTERS, linear_data, linear_model
from tests.oracles.dense import dense_filter
from tests.oracles.grid import stochastic_volatility
from tests.oracles.streaming import streamed
from tests.oracles.test_stochastic_volatility import MU, RHO, SIGMA, simulated

KEY = jax.random.key(0)


@pytest.mark.parametrize(("dimension", "bits"), [(1, 6), (2, 4), (3, 3)])
def test_the_curve_goes_from_neighbour_to_neighbour(dimension, bits):
    """It meets each cell once, a step of one along one axis at a time."""
    cells = np.stack(np.meshgrid(*[np.arange(2**bits)] * dimension), -1).reshape(-1, dimension)
    places = np.asarray(hilbert_index(jnp.asarray(cells, jnp.uint32), bits))
    assert (np.sort(places) == np.arange(len(cells))).all()
    assert (abs(np.diff(cells[np.argsort(places)], axis=0)).sum(1) == 1).all()


def test_points_are_sorted_whatever_they_are():
    points = jnp.array([[3.0, 1.0], [jnp.nan, 0.0], [-1.0, 1.0], [-1.1, 1.0], [3.1, 1.0]])
    order = list(np.asarray(jax.jit(hilbert_order)(points, jnp.array([0.2, 0.0, 0.3, 0.2, 0.3]))))
    assert sorted(order) == list(range(5))
    assert abs(order.index(0) - order.index(4)) == abs(order.index(2) - order.index(3)) == 1
    assert jax.eval_shape(hilbert_order, jnp.ones((4, 40)), jnp.ones(4)).shape == (4,)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64])
def test_each_point_is_uniform_and_all_are_even(dtype):
    """64 points have one in each of 64 intervals of each coordinate, and 8 x 8 of the first two, whatever the key; one point
    over 4,000 keys has the mean 1/2 and the variance 1/12, and has nothing to do with its other coordinates."""
    points = quasi_uniforms(KEY, 64, 5, dtype)
    assert (np.sort(np.floor(64 * points), axis=0) == np.arange(64)[:, None]).all()
    boxes = np.floor(8 * points[:, 0]) * 8 + np.floor(8 * points[:, 1])
    assert (np.sort(boxes) == np.arange(64)).all()
    one = jax.vmap(lambda key: quasi_uniforms(key, 8, 5, dtype)[3])(jax.random.split(KEY, 4000))
    assert ((one > 0) & (one < 1)).all()
    assert (abs(one.mean(0) - 0.5) < 5 / np.sqrt(12 * 4000)).all()
    # the square of 12^1/2 (u - 1/2) has variance 4/5, the product of two has variance 1
    square = 12 * (one - 0.5).T @ (one - 0.5) / 4000 - jnp.eye(5)
    assert (abs(square) < 5 / np.sqrt(4000)).all()


def plane(scale=1.0):
    """Two states and two sensors, one step for each datum."""
    step = fl.LinearDiscrete([[0.8, 0.2], [-0.1, 0.9]], scale * jnp.array([[0.3, 0.1], [0.1, 0.2]]))
    return fl.StateSpaceModel(linear_model().initial, step, linear_model().observation)


def plane_data(length):
    """Some values missing."""
    return fl.Dataset(np.arange(1.0, length + 1), linear_data(20).values[:length])


def gaps(algorithm, model, data, exact, keys):
    """Estimate minus exact log evidence."""
    one = lambda key: fl.log_evidence(algorithm, model, data, key=key)  # noqa: E731
    return np.asarray(jax.lax.map(one, jax.random.split(KEY, keys), batch_size=50)) - exact


def check_against_random_points(name, model, data, exact, size, least):
    """Unbiased over randomisations, and the variance of the log at most `least` that of as many random points."""
    ours = gaps(fl.SequentialQuasiMonteCarlo(size), model, data, exact, 120)
    plain = gaps(fl.ParticleFilter(size), model, data, exact, 60).var()
    ratio = np.exp(ours)
    print(f"\n{name}, N = {size}: variance {ours.var():.2g}, of random points {plain:.2g}")
    assert abs(ratio.mean() - 1) < 5 * ratio.std() / np.sqrt(120)
    assert ours.var() < least * plain


def test_stochastic_volatility():
    """A5's model, 150 returns simulated, against the grid."""
    y = simulated()
    step = fl.LinearDiscrete([[RHO]], [[SIGMA**2]], [MU * (1 - RHO)])
    seen = fl.DistributionObservation(lambda t, x, u: dist.Normal(0.0, jnp.exp(x / 2)))
    model = fl.StateSpaceModel(fl.Gaussian([MU], SIGMA**2 / (1 - RHO**2)), step, seen)
    exact = stochastic_volatility(y, MU, RHO, SIGMA)[0].sum()
    check_against_random_points("stochastic volatility", model, fl.Dataset(np.arange(150.0), y), exact, 128, 0.1)


def test_a_plane():
    """Two states, two sensors, missing data: sorted along the curve."""
    model, data = plane(), plane_data(20)
    check_against_random_points("two linear states", model, data, dense_filter(model, data)[2].sum(), 256, 0.5)


def test_the_score_is_unbiased():
    """The derivative times exp(estimate - exact), over 500 keys; without the weights' share it is biased."""
    data = plane_data(8)

    def evidence(scale, algorithm, key=None):
        return fl.log_evidence(algorithm, plane(scale), data, key=key)

    exact, score = jax.jvp(lambda scale: evidence(scale, fl.Kalman()), (1.1,), (1.0,))
    small = fl.SequentialQuasiMonteCarlo(32)
    one = lambda key: jax.jvp(lambda scale: evidence(scale, small, key), (1.1,), (1.0,))  # noqa: E731
    value, slope = jax.lax.map(one, jax.random.split(KEY, 500), batch_size=100)
    errors = np.exp(np.asarray(value) - exact) * (np.asarray(slope) - score)
    assert abs(errors.mean()) < 5 * errors.std() / np.sqrt(500) < 2


def test_noise_of_several_parts_is_mapped():
    """Two regimes, jumps by thinning in one of them, 22 normals in a gap: the mean over 200 keys as with random points."""
    jump = fl.CompoundPoisson(1.0, dist.Normal(jnp.array([0.5]), 0.2), 2.0, most=2)
    rough = fl.EulerMaruyama(fl.SDE(lambda t, x, u: -x, jnp.array([0.5]), jump), steps=2)
    switched = fl.Switched(fl.MarkovChain([[0.7, 0.3], [0.4, 0.6]]), [fl.LinearDiscrete([[0.9]], [[0.3]]), rough])
    seen = fl.SwitchedObservation([fl.LinearGaussianObservation([[1.0]], [[r]]) for r in (0.1, 0.5)])
    model = fl.StateSpaceModel(fl.Initial(fl.RegimeStart([0.3], [[0.2]], [0.7, 0.3]), 0.0), switched, seen)
    data = fl.Dataset([1.0, 2.0], [0.7, -0.5])
    found = [np.exp(gaps(make(64), model, data, 0.0, 200)) for make in (fl.SequentialQuasiMonteCarlo, fl.ParticleFilter)]
    se = np.hypot(*(sample.std() / np.sqrt(200) for sample in found))
    assert abs(found[0].mean() - found[1].mean()) < 5 * se < 0.2 * found[1].mean()


def test_streams_keep_the_points():
    """A missing datum, and no time, change nothing; single precision, in a scan, stays single and near double, in steps."""
    algorithm, model, data = QUASI_FILTERS["quasi_monte_carlo"](), plane(), plane_data(8)
    total = streamed(algorithm, model, data, KEY)
    narrow = lambda tree: jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float32), tree)  # noqa: E731
    small = fl.run(algorithm, narrow(model), narrow(data), key=KEY)
    assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(small.last))
    # the same digits, cut at 23: a point may take another ancestor, so that the totals differ by far less than they err
    assert abs(small.log_evidence.sum() - total) < 0.1
