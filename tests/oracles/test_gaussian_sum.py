"""Jumps as hypotheses: Poisson sums, all histories one by one, and moments (A10)."""

import itertools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest
from scipy import stats

import filterlearn as fl
from filterlearn.numerics.clusters import clusters

RATE, M, D, S, DRIFT = 1.3, -0.2, 0.3, 0.15, 0.1


def jumps(rate=RATE, most=20):
    return fl.CompoundPoisson(rate, dist.Normal(jnp.array([M]), D), most=most)


def price(rate=RATE, noise=0.0, most=20):
    """Merton's logarithm of a price, seen with `noise`."""
    transition = fl.LinearSDE([[0.0]], [[S]], [DRIFT], jumps(rate, most))
    seen = fl.LinearGaussianObservation([[1.0]], [[noise]])
    return fl.StateSpaceModel(fl.Gaussian([0.0], 0.0, time=0.0), transition, seen)


def series(length, noise=0.0, seed=0):
    """Irregular times, the gaps and the increments."""
    rng = np.random.default_rng(seed)
    gaps = rng.uniform(0.05, 1.5, length)
    counts = rng.poisson(RATE * gaps)
    steps = DRIFT * gaps + M * counts + np.sqrt(S**2 * gaps + counts * D**2) * rng.normal(size=length)
    values = np.cumsum(steps) + np.sqrt(noise) * rng.normal(size=length)
    return fl.Dataset(np.cumsum(gaps), values), gaps, steps


def jumped(labels):
    return labels[0] > 0


def told(belief, info):
    return info.log_evidence, belief.probability(jumped), belief.mean, belief.covariance


def test_merton_increments_are_poisson_sums():
    """A10 (a): the evidence, its derivative in the rate, and the probability of a jump given y, by 80 terms of the sum;
    P(more than 20 jumps) is below 1e-13."""
    data, gaps, steps = series(40)

    def exact(rate):
        n = jnp.arange(80)
        spread = jnp.sqrt(S**2 * gaps[:, None] + n * D**2)
        terms = jax.scipy.stats.poisson.pmf(n, rate * gaps[:, None])
        terms = terms * jax.scipy.stats.norm.pdf(steps[:, None], DRIFT * gaps[:, None] + n * M, spread)
        return jnp.sum(jnp.log(terms.sum(1))), 1 - terms[:, 0] / terms.sum(1)

    def found(rate):
        evidence, probability, mean, _ = fl.run(fl.GaussianSum(fl.Kalman(), 1), price(rate), data, save=told).saved
        return jnp.sum(evidence), probability, mean

    (ours, slope), (theirs, exact_slope) = (jax.jvp(f, (RATE,), (1.0,)) for f in (found, exact))
    for one, two in zip(ours, (*theirs, data.values), strict=True):
        np.testing.assert_allclose(one, two, atol=1e-8)
    np.testing.assert_allclose(slope[0], exact_slope[0], atol=1e-8)
    np.testing.assert_allclose(slope[1], exact_slope[1], atol=1e-8)


def test_noisy_prices_are_all_histories():
    """Three data in noise, up to two jumps before each: 27 histories, each with its own Kalman filter."""
    noise, (data, gaps, _) = 0.04, series(3, 0.04, seed=1)
    poisson = stats.poisson.pmf(np.arange(3), RATE * gaps[:, None])
    chances = np.log(poisson / poisson.sum(1, keepdims=True))
    weights, means, variances = [], [], []
    for history in itertools.product(range(3), repeat=3):
        m, p, weight = 0.0, 0.0, 0.0
        for k, n in enumerate(history):
            m, p = m + DRIFT * gaps[k] + n * M, p + S**2 * gaps[k] + n * D**2
            y = float(data.values[k, 0])
            weight += chances[k, n] + stats.norm.logpdf(y, m, np.sqrt(p + noise))
            m, p = m + p / (p + noise) * (y - m), p * noise / (p + noise)
        weights.append(weight), means.append(m), variances.append(p)
    total = np.logaddexp.reduce(weights)
    w, means = np.exp(weights - total), np.array(means)
    last = fl.run(fl.GaussianSum(fl.Kalman(), 9), price(noise=noise, most=2), data)
    np.testing.assert_allclose(last.log_evidence.sum(), total, atol=1e-10)
    np.testing.assert_allclose(last.last.mean, w @ means, atol=1e-10)
    np.testing.assert_allclose(last.last.covariance[0, 0], w @ variances + w @ (means - w @ means) ** 2, atol=1e-10)
    np.testing.assert_allclose(last.last.probability(jumped), 1 - w[::3].sum(), atol=1e-10)


def test_merging_costs_little_and_keeps_the_moments():
    """4 members for 60 data in noise: the evidence is within .05 nat of that of 12, and no merging moves the moments."""
    noise, (data, *_) = 0.01, series(60, 0.01, seed=2)
    filters = [fl.GaussianSum(fl.Kalman(), size) for size in (4, 12)]
    few, many = (fl.log_evidence(filter, price(noise=noise, most=3), data) for filter in filters)
    assert abs(few - many) < 0.05
    model, belief = price(noise=noise, most=3), fl.run(filters[0], price(noise=noise, most=3), data[:9]).last
    ahead = eqx.filter_jit(filters[0].predict)(model, belief, belief.time + 1e-9)
    np.testing.assert_allclose(ahead.mean, belief.mean, atol=1e-8)
    np.testing.assert_allclose(ahead.covariance, belief.covariance, atol=1e-8)


def test_an_extended_filter_in_steps_agrees_where_the_drift_is_constant():
    """Jumps spread over three Euler steps; missing data, two at one time."""
    data = fl.Dataset([0.5, 0.5, 1.0, 2.0], [0.1, -0.1, np.nan, 0.4])
    exact = price(noise=0.01, most=3)
    sde = fl.SDE(lambda t, x, u: DRIFT + 0 * x, jnp.array([S]), jumps(most=3))
    stepped = fl.StateSpaceModel(exact.initial, fl.EulerMaruyama(sde, steps=3), exact.observation)
    for one, two in zip(
        fl.run(fl.GaussianSum(fl.Kalman(), 4), exact, data, save=told).saved,
        fl.run(fl.GaussianSum(fl.ExtendedKalman(), 4), stepped, data, save=told).saved,
        strict=True,
    ):
        np.testing.assert_allclose(one, two, atol=1e-12)


def test_stationary_moments():
    """A10 (b): an Ornstein-Uhlenbeck process with jumps, 20 gaps of 2 without data, forgotten to exp(-40)."""
    rate, pull, seen = 2.0, 1.0, fl.LinearGaussianObservation([[1.0]], [[1.0]])
    transition = fl.LinearSDE([[-pull]], [[S]], jumps=jumps(rate, 30))
    model = fl.StateSpaceModel(fl.Gaussian([3.0], 1.0, time=0.0), transition, seen)
    data = fl.Dataset(np.arange(2.0, 41.0, 2.0), np.full(20, np.nan))
    last = fl.run(fl.GaussianSum(fl.Kalman(), 2), model, data).last
    np.testing.assert_allclose(last.mean, [rate * M / pull], rtol=1e-10)
    np.testing.assert_allclose(last.covariance, [[(S**2 + rate * (M**2 + D**2)) / (2 * pull)]], rtol=1e-10)


def test_a_jump_alone_is_tried_in_parts_of_its_gap():
    """The density of an Ornstein-Uhlenbeck process after a long gap with at most one jump, by quadrature over its time:
    eight parts are over thirty times nearer to it than one; a scheme of eight steps is as near as its steps are."""
    rate, pull, gap, y = 0.7, 2.0, 1.5, np.linspace(-1.0, 2.0, 7)
    marks = fl.CompoundPoisson(rate, dist.Normal(jnp.array([1.5]), 0.1), most=1)
    seen = fl.LinearGaussianObservation([[1.0]], [[0.01]])
    still = np.exp(-2 * pull * gap) * 0.2 + S**2 * (1 - np.exp(-2 * pull * gap)) / (2 * pull) + 0.01
    nodes, weights = np.polynomial.legendre.leggauss(200)
    left = np.exp(-pull * gap * (nodes + 1) / 2)
    late = stats.norm.pdf(y[:, None], 1.5 * left, np.sqrt(still + 0.01 * left**2)) @ weights / 2
    exact = np.log((stats.norm.pdf(y, 0, np.sqrt(still)) + rate * gap * late) / (1 + rate * gap))

    def off(filter, transition):
        model = fl.StateSpaceModel(fl.Gaussian([0.0], 0.2, time=0.0), transition, seen)
        return np.abs(
            jax.vmap(lambda v: fl.log_evidence(filter, model, fl.Dataset(jnp.array([gap]), v[None])))(y) - exact
        ).max()

    linear = fl.LinearSDE([[-pull]], [[S]], jumps=marks)
    stepped = fl.RungeKutta(fl.SDE(lambda t, x, u: -pull * x, jnp.array([[S]]), marks), steps=8)
    coarse, fine = (off(fl.GaussianSum(fl.Kalman(), 1, parts), linear) for parts in (1, 8))
    assert coarse > 0.1
    assert fine < coarse / 30
    assert off(fl.GaussianSum(fl.ExtendedKalman(), 1, parts=8), stepped) < coarse / 5


def test_parts_need_as_many_steps():
    scheme = fl.RungeKutta(fl.SDE(lambda t, x, u: -x, jnp.array([[S]]), jumps(most=1)), steps=3)
    model = fl.StateSpaceModel(fl.Gaussian([0.0], 0.2, time=0.0), scheme, price().observation)
    with pytest.raises(ValueError, match="steps: a multiple of the 2 parts"):
        fl.log_evidence(fl.GaussianSum(fl.ExtendedKalman(), 1, parts=2), model, fl.Dataset([1.0], [0.0]))


def test_streams_keep_the_hypotheses():
    """A session equals the run; a missing datum, and no time, change nothing."""
    filter, model, (data, *_) = fl.GaussianSum(fl.Kalman(), 3), price(noise=0.01, most=2), series(8)
    out = fl.run(filter, model, data, save=told)
    session = fl.Session(filter, model, key=jax.random.key(0))
    for k in range(len(data)):
        report = session.observe(float(data.times[k]), np.asarray(data.values[k]))
        np.testing.assert_allclose(report.log_evidence, out.saved[0][k], atol=1e-12)
    before = session.belief
    np.testing.assert_allclose(before.probability(jumped), out.saved[1][-1], atol=1e-12)
    assert session.observe(float(data.times[-1]), [np.nan]).log_evidence == 0
    assert all((a == b).all() for a, b in zip(jax.tree.leaves(before), jax.tree.leaves(session.belief), strict=True))


def test_clusters_join_what_is_near_and_light():
    points = jnp.array([[0.0], [10.0], [0.1], [10.2], [5.0], [70.0]])
    labels = clusters(points, jnp.array([1.0, 1.0, 1.0, 1.0, 1e-3, 0.0]), 2)
    assert labels[0] == labels[2]
    assert labels[1] == labels[3]
    assert labels[0] != labels[1]
    assert set(np.asarray(clusters(points, jnp.ones(6), 6))) == set(range(6))
