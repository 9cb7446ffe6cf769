"""Laws of the smoothers that draw paths, and of the one that runs with the data."""

from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import filterlearn as fl
from tests.cases import (
    LAGGED,
    LAGGED_SAMPLES,
    LINEAR_PROBLEMS,
    PATH_SMOOTHERS,
    linear_data,
    linear_model,
    regression_family,
    switching_model,
)
from tests.laws.test_learners import regression
from tests.oracles.dense import dense_smoother, joint_sensors, joint_states

KEY = jax.random.key(0)


def paths(name):
    """Over 50 keys, for 100 and 200 points: means of x_k, of x_k x_k' and of x_k x_k+1' over the paths drawn."""
    model, data = (make() for make in LINEAR_PROBLEMS["linear"])
    data = data[:12]

    def one(size, key):
        smoother, algorithm = PATH_SMOOTHERS[name](size)
        beliefs = fl.smooth(smoother, model, fl.run(algorithm, model, data, key=key), key=key).beliefs
        x = beliefs.members if isinstance(beliefs, fl.Ensemble) else beliefs.points
        square = lambda a, b: jnp.einsum("tia,tib->tab", a, b) / x.shape[1]  # noqa: E731
        return jnp.mean(x, axis=1), square(x, x), square(x[:-1], x[1:])

    return [
        [np.asarray(part) for part in jax.lax.map(partial(one, n), jax.random.split(jax.random.key(n), 50), batch_size=10)]
        for n in (100, 200)
    ]


def second_moments(model, data):
    """The same, exact, from the joint Gaussian of all states."""
    (prior, joint), (h, r, y) = joint_states(model, data), joint_sensors(model, data)
    use, n = np.flatnonzero(~np.isnan(y)), len(prior) // len(data)
    gain = np.linalg.solve(h[use] @ joint @ h[use].T + r[np.ix_(use, use)], h[use] @ joint).T
    mean, covariance = prior + gain @ (y[use] - h[use] @ prior), joint - gain @ h[use] @ joint
    square = covariance + np.outer(mean, mean)
    block = lambda i, j: square[i * n : (i + 1) * n, j * n : (j + 1) * n]  # noqa: E731
    same = [block(k, k) for k in range(len(data))]
    return mean.reshape(-1, n), np.array(same), np.array([block(k, k + 1) for k in range(len(data) - 1)])


@pytest.mark.parametrize("name", PATH_SMOOTHERS)
def test_paths_have_the_law_of_the_smoother(name):
    """Means, second moments, and those of neighbours, which only whole paths have; equal times, missing entries. The bias
    a / N is extrapolated away, within five standard errors."""
    model, data = (make() for make in LINEAR_PROBLEMS["linear"])
    half, whole = paths(name)
    for few, many, exact in zip(half, whole, second_moments(model, data[:12]), strict=True):
        se = np.hypot(2 * many.std(0, ddof=1), few.std(0, ddof=1)) / np.sqrt(50)
        assert (abs(2 * many.mean(0) - few.mean(0) - exact) < 5 * se).all()
        assert (se < 0.3).all()


def test_moves_part_the_paths():
    """Of 100 paths through 40 data the first states are as many as those of all the weights, where the filter's own ancestors
    have met; and single precision stays single."""
    step = fl.LinearDiscrete([[0.9]], [[0.3]])
    seen = fl.LinearGaussianObservation([[1.0]], [[0.3]])
    model = fl.StateSpaceModel(fl.Gaussian([0.0], 1.0, time=0.0), step, seen)
    data = fl.Dataset(np.arange(1.0, 41.0), np.random.default_rng(0).normal(size=40))
    narrow = lambda tree: jax.tree.map(lambda x: jnp.asarray(x, jnp.float32), tree)  # noqa: E731
    _, filter = PATH_SMOOTHERS["backward_metropolis"](100)
    out = fl.run(filter, narrow(model), narrow(data), key=KEY)
    one, many = (
        fl.smooth(s, narrow(model), out, key=KEY).beliefs.points[0, :, 0]
        for s in (fl.BackwardMetropolis(100), fl.BackwardSampling(100))
    )
    assert one.dtype == jnp.float32
    own = len(np.unique(np.asarray(out.last.lineage.roots)))
    assert own < 5 < 0.5 * len(np.unique(many)) < len(np.unique(one))


@pytest.mark.parametrize("name", PATH_SMOOTHERS)
def test_what_has_no_noise_stays_on_the_path(name):
    """The second state is drawn once and never moves: a path keeps its own."""
    step = fl.LinearDiscrete([[0.9, 1.0], [0.0, 1.0]], [[0.1, 0.0], [0.0, 0.0]])
    seen = fl.LinearGaussianObservation([[1.0, 0.0]], [[0.2]])
    model = fl.StateSpaceModel(fl.Gaussian([0.0, 0.3], 1.0, time=0.0), step, seen)
    data = fl.Dataset(np.arange(1.0, 9.0), np.random.default_rng(0).normal(size=8))
    smoother, algorithm = PATH_SMOOTHERS[name]()
    beliefs = fl.smooth(smoother, model, fl.run(algorithm, model, data, key=KEY), key=KEY).beliefs
    x = beliefs.members if isinstance(beliefs, fl.Ensemble) else beliefs.points
    assert np.ptp(x[:, :, 1], axis=0).max() < 1e-12


@pytest.mark.parametrize("name", LAGGED)
def test_a_fixed_lag_is_the_smoother_of_the_data_so_far(name):
    """To 1e-9, against the dense Gaussian, once all the lag is there; the first states before."""
    (lagged, _), (model, data) = LAGGED[name](), (make() for make in LINEAR_PROBLEMS["driven"])
    data = data[:25]
    back = jax.vmap(lambda b: (b.lagged.mean, b.lagged.covariance, b.lagged.time))
    means, covariances, times = back(fl.run(lagged, model, data).beliefs)
    for k in (4, 10, 11, 24):
        exact = dense_smoother(model, data[: k + 1])
        np.testing.assert_allclose(means[k], exact[0][k - 4], atol=1e-9)
        np.testing.assert_allclose(covariances[k], exact[1][k - 4], atol=1e-9)
        assert times[k] == data.times[k - 4]
    assert times[3] == model.initial.time


@pytest.mark.parametrize("name", LAGGED_SAMPLES)
def test_a_fixed_lag_of_samples_tends_to_the_smoother_of_the_data_so_far(name):
    """Means and covariances four data back, over 100 keys, extrapolated from N / 2 and N as above: equal times and missing
    entries in the lag. What is now is the filter's own."""
    model, data = (make() for make in LINEAR_PROBLEMS["linear"])
    data, last = data[:12], [10, 11]

    def one(size, key):
        back = lambda belief, info: (belief.mean, belief.lagged.mean, belief.lagged.covariance)  # noqa: E731
        return [part[last[0] :] for part in fl.run(LAGGED_SAMPLES[name](size), model, data, key=key, save=back).saved]

    keys = jax.random.split(KEY, 100)
    (now, *half), (_, *whole) = (jax.lax.map(partial(one, n), k, batch_size=50) for n, k in ((50, keys), (100, keys[::-1])))
    own = fl.run(LAGGED_SAMPLES[name](50).filter, model, data, key=keys[0]).mean
    np.testing.assert_allclose(now[0], own[last[0] :], atol=1e-12)
    exact = [dense_smoother(model, data[: k + 1]) for k in last]
    for few, many, part in zip(half, whole, zip(*((m[-5], c[-5]) for m, c in exact), strict=True), strict=True):
        se = np.hypot(2 * many.std(0, ddof=1), few.std(0, ddof=1)) / 10
        assert (abs(2 * many.mean(0) - few.mean(0) - np.stack(part)) < 5 * se).all()
        assert (se < 0.1).all()


def test_parameters_lag_too():
    """A6: theta of a moving regression, ten data back, equals the Rauch-Tung-Striebel smoother to 1e-9; streamed."""
    data, _ = regression(3, 60)
    inside = fl.Joint(fl.ExtendedKalman())
    whole = fl.smooth(fl.RauchTungStriebel(inside), regression_family(), fl.run(inside, regression_family(), data))
    session = fl.Session(fl.FixedLag(inside, 10), regression_family(), key=KEY)
    for k in range(60):
        report = session.observe(float(data.times[k]), np.asarray(data.values[k]), np.asarray(data.inputs[k]))
    assert report.parameters["theta"]["mean"].shape == (3,)
    assert session.forecast([60.0], inputs=np.ones((1, 3)), draws=10).observations.shape == (10, 1, 1)
    exact = jax.tree.map(lambda leaf: leaf[49], whole.beliefs).parameters
    found = session.belief.lagged.parameters
    np.testing.assert_allclose(found.mean, exact.mean, atol=1e-9)
    np.testing.assert_allclose(found.covariance, exact.covariance, atol=1e-9)


def test_nothing_seen_at_no_time_keeps_the_lag():
    lagged, _ = LAGGED["kalman"]()
    out = fl.run(lagged, linear_model(), linear_data(11))
    step = eqx.filter_jit(lambda b: fl.step(lagged, linear_model(), b, fl.Datum(jnp.asarray(0.1), jnp.ones(2)), key=None))
    after, info = step(out.last)
    assert info.flags == fl.protocol.LATE
    pairs = zip(jax.tree.leaves(after), jax.tree.leaves(out.last), strict=True)
    assert all(jnp.allclose(a, b, rtol=0, atol=1e-13) for a, b in pairs)


def test_what_has_no_density_is_refused():
    model, data = linear_model(), linear_data(11)
    with pytest.raises(TypeError, match="trajectory: BackwardSampling needs Particles, got Gaussian"):
        fl.smooth(fl.BackwardSampling(10), model, fl.run(fl.Kalman(), model, data), key=KEY)
    with pytest.raises(ValueError, match="trajectory: the lineage is needed"):
        fl.smooth(fl.BackwardMetropolis(10), model, fl.run(fl.ParticleFilter(10), model, data, key=KEY), key=KEY)
    stepping = fl.EulerMaruyama(fl.SDE(lambda t, x, u: -x, jnp.ones(2)), steps=3)
    model = eqx.tree_at(lambda m: m.transition, model, stepping)
    with pytest.raises(TypeError, match="transition: BackwardRejection needs one substep"):
        fl.smooth(fl.BackwardRejection(10), model, fl.run(fl.ParticleFilter(10), model, data, key=KEY), key=KEY)


def test_what_cannot_lag_is_refused():
    model = linear_model()
    with pytest.raises(TypeError, match="filter: FixedLag needs a resampler that copies points, got Adaptive"):
        fl.FixedLag(fl.ParticleFilter(10, fl.Adaptive(fl.OptimalTransport())), 3).init(model, key=KEY)
    with pytest.raises(TypeError, match="filter: FixedLag keeps paths in the place of a lineage"):
        fl.FixedLag(fl.Genealogy(fl.ParticleFilter(10, fl.Multinomial())), 3).init(model, key=KEY)
    with pytest.raises(TypeError, match="filter: one with Gaussian beliefs, ensembles or particles is needed, got Mixture"):
        fl.FixedLag(fl.Switching(fl.Kalman()), 3).init(switching_model(), key=KEY)
