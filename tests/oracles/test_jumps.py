"""Jump processes whose laws are known exactly (A10)."""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest
from scipy import stats

import filterlearn as fl

ONE = dist.Delta(jnp.ones(1))


def still(*jumps):
    """A state that only jumps, in one substep per gap."""
    return fl.EulerMaruyama(fl.SDE(lambda t, x, u: 0 * x, jnp.zeros(1), jumps), steps=1)


def drawn(transition, start, gap, n, seed=0):
    return np.asarray(transition.sample_many(jnp.full((n, 1), start), 0.0, gap, key=jax.random.key(seed))[:, 0])


def test_thinning_draws_a_pure_death_process_exactly():
    """20 of unit death rate: Binomial(20, exp(-1)) are left after one gap with 12.6 deaths on average. The count taken at
    the start of the gap is Poisson(20): its mean of 0 survivors is 7.4 too low. P(Poisson(20) > 60) = 1e-12."""
    death = lambda **kw: still(fl.CompoundPoisson(lambda t, x, u: x[0], dist.Delta(-jnp.ones(1)), most=60, **kw))  # noqa: E731
    n, exact = 40_000, stats.binom(20, np.exp(-1))
    left = drawn(death(bound=20.0), 20.0, 1.0, n)
    assert abs(left.mean() - exact.mean()) < 5 * exact.std() / np.sqrt(n)
    numbers = np.arange(1, 15)
    p = exact.pmf(numbers)
    seen = np.array([(left == k).mean() for k in numbers])
    assert (np.abs(seen - p) < 5 * np.sqrt(p * (1 - p) / n)).all()
    biased = drawn(death(), 20.0, 1.0, n)
    assert abs(biased.mean() - exact.mean()) > 7


def test_thinning_draws_a_moving_intensity_exactly():
    """The count is Poisson with the integral of 4 sin(t)^2 over [0, 2], 4 - sin(4) = 4.757; its start alone says 0."""
    n, exact = 40_000, stats.poisson(4 - np.sin(4.0))
    intensity = lambda t, x, u: 4 * jnp.sin(t) ** 2  # noqa: E731
    counts = drawn(still(fl.CompoundPoisson(intensity, ONE, 4.0, most=40)), 0.0, 2.0, n)
    p = exact.pmf(np.arange(12))
    seen = np.array([(counts == k).mean() for k in range(12)])
    assert (np.abs(seen - p) < 5 * np.sqrt(p * (1 - p) / n)).all()
    assert drawn(still(fl.CompoundPoisson(intensity, ONE, most=40)), 0.0, 2.0, n).max() == 0


def test_candidates_run_out_as_often_as_said():
    """At an intensity equal to the bound every candidate jumps: the count in a gap is the least of `most` and Poisson(3)."""
    n, most = 40_000, 3
    scheme = fl.EulerMaruyama(
        fl.SDE(lambda t, x, u: 0 * x, jnp.zeros(1), fl.CompoundPoisson(1.5, ONE, 1.5, most=most)), steps=4
    )
    counts = drawn(scheme, 0.0, 2.0, n)
    p = [*stats.poisson.pmf(np.arange(most), 3.0), stats.poisson.sf(most - 1, 3.0)]
    for k, exact in enumerate(p):
        assert abs((counts == k).mean() - exact) < 5 * np.sqrt(exact * (1 - exact) / n)


def test_kinds_of_jumps_keep_their_own_counts():
    """Two bounded kinds share their candidates with an unbounded one between: independent Poisson counts of 2, 1 and 3."""
    rates, n = np.array([2.0, 1.0, 3.0]), 40_000
    jumps = [
        fl.CompoundPoisson(lambda t, x, u: 2.0, ONE, 4.0, most=30),
        fl.CompoundPoisson(1.0, ONE, most=16),
        fl.CompoundPoisson(3.0, ONE, 3.5, most=30),
    ]
    scheme = fl.EulerMaruyama(fl.SDE(lambda t, x, u: 0 * x, jnp.zeros(1), jumps), steps=3)
    counting = fl.SinceLast(scheme, lambda t, x, u: jnp.zeros(3), size=3, counted=np.eye(3))
    draws = counting.sample_many(jnp.zeros((n, 4)), 0.0, 1.0, key=jax.random.key(1))
    counts = np.asarray(draws[:, 1:])
    np.testing.assert_array_equal(draws[:, 0], counts.sum(1))
    assert (np.abs(counts.mean(0) - rates) < 5 * np.sqrt(rates / n)).all()
    # the variance of a sample covariance of Poisson counts: l_i l_j, and l + 2 l^2 on the diagonal
    spread = np.sqrt((np.outer(rates, rates) + np.diag(rates + rates**2)) / n)
    assert (np.abs(np.cov(counts.T) - np.diag(rates)) < 5 * spread).all()


K, S, L, M, D = 1.0, 0.5, 2.0, 0.3, 0.2
MEAN, VARIANCE = L * M / K, (S**2 + L * (M**2 + D**2)) / (2 * K)
MARKS = {
    "normal": fl.CompoundPoisson(L, dist.Normal(jnp.array([M]), D)),
    "laplace": fl.CompoundPoisson(L, dist.Laplace(jnp.array([M]), D / np.sqrt(2))),
    "thinned": fl.CompoundPoisson(lambda t, x, u: L, dist.Normal(jnp.array([M]), D), 2.5, most=12),
}


def stepped(jump, steps=16):
    return fl.EulerMaruyama(fl.SDE(lambda t, x, u: -K * x, jnp.array([S]), jump), steps=steps)


@pytest.mark.parametrize("name", MARKS)
def test_stationary_ornstein_uhlenbeck_with_jumps_simulated(name):
    """A10 (b): twelve gaps of one unit from 0, forgotten to 1e-5. Between jumps Euler's own stationary variance is that of
    the SDE over 1 - K h / 2, a relative 0.03 at h = 1/16; thinning steps at the jumps too and lies between the two."""
    n, key = 20_000, jax.random.key(2)

    def one(x, k):
        return stepped(MARKS[name]).sample_many(x, 0.0, 1.0, key=jax.random.fold_in(key, k)), None

    x = np.asarray(jax.lax.scan(one, jnp.zeros((n, 1)), jnp.arange(12))[0][:, 0])
    assert abs(x.mean() - MEAN) < 5 * x.std() / np.sqrt(n) + 1e-5
    square, low, high = (x - x.mean()) ** 2, VARIANCE, VARIANCE / (1 - K / 32)
    slack = 5 * square.std() / np.sqrt(n)
    low = low if name == "thinned" else high
    assert low - slack < square.mean() < high + slack


@pytest.mark.parametrize("name", MARKS)
def test_stationary_ornstein_uhlenbeck_with_jumps_by_moments(name):
    """A10 (b): the extended filter's moments over 40 units, exact up to Euler's own factor; LinearSDE's exact."""
    observation = fl.LinearGaussianObservation([[1.0]], [[1.0]])
    start = fl.Gaussian([0.0], 1.0, time=0.0)

    def moments(transition):
        model, filter = fl.StateSpaceModel(start, transition, observation), fl.ExtendedKalman()
        return filter.predict(model, filter.init(model), jnp.asarray(40.0))

    h = 40 / 640
    belief = moments(stepped(MARKS[name], 640))
    np.testing.assert_allclose(belief.mean, [MEAN], rtol=1e-10)
    np.testing.assert_allclose(belief.covariance, [[VARIANCE / (1 - K * h / 2)]], rtol=1e-10)
    if name != "thinned":
        belief = moments(fl.LinearSDE([[-K]], [[S]], jumps=MARKS[name]))
        np.testing.assert_allclose(belief.mean, [MEAN], rtol=1e-10)
        np.testing.assert_allclose(belief.covariance, [[VARIANCE]], rtol=1e-10)


@pytest.mark.parametrize("name", ["normal", "laplace"])
def test_linear_sde_draws_jumps_at_their_times(name):
    """Over a gap of 1.5 the third cumulant of the jumps is the integral of L E[J^3] exp(-3 K s) ds: the draws have it, a
    Gaussian of the same moments has 0, and jumps all at one end would have three times, or a thirtieth of it."""
    n, h = 100_000, 1.5
    x = drawn(fl.LinearSDE([[-K]], [[S]], jumps=MARKS[name]), 0.5, h, n, 3)
    mean = 0.5 * np.exp(-K * h) + MEAN * (1 - np.exp(-K * h))
    exact = L * (M**3 + 3 * M * D**2) * (1 - np.exp(-3 * K * h)) / (3 * K)  # both laws are symmetric about M
    variance = VARIANCE * (1 - np.exp(-2 * K * h))
    for power, wanted in ((1, 0.0), (2, variance), (3, exact)):
        term = (x - mean) ** power
        assert abs(term.mean() - wanted) < 5 * term.std() / np.sqrt(n)


def test_probability_of_a_jump_since_the_last_datum():
    """Brownian motion with Normal marks, seen once in noise: P(no jump given y) is one Poisson-Normal term over their sum."""
    rate, m, d, s, r, h, y = 0.8, 1.0, 0.5, 0.4, 0.05, 1.0, 0.9
    jump = fl.CompoundPoisson(rate, dist.Normal(jnp.array([m]), d), most=20)
    sde = fl.SDE(lambda t, x, u: 0 * x, jnp.array([s]), jump)
    moved = fl.SinceLast(fl.EulerMaruyama(sde, steps=4), lambda t, x, u: 0 * x, counted=[[1.0]])
    seen = fl.LinearGaussianObservation([[1.0, 0.0]], [[r]])
    model = fl.StateSpaceModel(fl.Gaussian([0.0, 0.0], np.zeros((2, 2)), time=0.0), moved, seen)
    filter, keys = fl.ParticleFilter(10_000, fl.StopGradient(fl.Multinomial())), jax.random.split(jax.random.key(4), 20)
    last = lambda belief, info: belief.weights @ (belief.points[:, 1] > 0)  # noqa: E731
    found = jax.vmap(lambda k: fl.run(filter, model, fl.Dataset([h], [y]), key=k, save=last).saved[0])(keys)
    n = np.arange(30)
    terms = stats.poisson.pmf(n, rate * h) * stats.norm.pdf(y, n * m, np.sqrt(s**2 * h + n * d**2 + r))
    exact = 1 - terms[0] / terms.sum()
    # 20 runs, each with a bias of order 1 / 10,000
    assert abs(found.mean() - exact) < 5 * found.std() / np.sqrt(20) + 1e-3


def test_marks_of_any_law_inside_a_joint_learner():
    """Marks that take keys, with parameters beside them: the mean of the predicted state is that of the Euler steps."""
    jump = fl.CompoundPoisson(L, dist.Exponential(jnp.array([2.0])), most=16)

    def build(p):
        sde = fl.SDE(lambda t, x, u: p["level"] - x, jnp.array([S]), jump)
        seen = fl.LinearGaussianObservation([[1.0]], [[1.0]])
        return fl.StateSpaceModel(fl.Gaussian([0.0], 0.0, time=0.0), fl.EulerMaruyama(sde, steps=2), seen)

    family = fl.ModelFamily(build, {"level": fl.Parameter(dist.Normal(0.0, 0.1))})
    algorithm = fl.Joint(fl.ParticleFilter(20_000))
    first, second = jax.random.split(jax.random.key(0))
    belief = algorithm.init(family, key=first)
    belief = algorithm.predict(family, belief, jnp.asarray(1.0), key=second)
    # two Euler steps of 1/2 to the mean 1 of the jumps (L / 2), from 0: 1 - 1 / 4
    sd = np.sqrt(belief.state.covariance[0, 0] / 20_000)
    assert abs(belief.state.mean[0] - 0.75) < 5 * sd


def test_an_intensity_above_its_bound_is_flagged():
    """The states that met it become NaN; the particle filter says so, and goes on with the others."""
    jump = fl.CompoundPoisson(lambda t, x, u: 1.0 + x[0] ** 2, dist.Normal(jnp.zeros(1), 0.1), 2.0)
    sde = fl.SDE(lambda t, x, u: -x, jnp.array([0.8]), jump)
    model = fl.StateSpaceModel(
        fl.Gaussian([0.0], 0.1, time=0.0),
        fl.EulerMaruyama(sde, steps=4),
        fl.GaussianObservation(lambda t, x, u: x, jnp.eye(1)),
    )
    out = fl.run(fl.ParticleFilter(2000), model, fl.Dataset([1.0, 2.0], [0.1, 0.0]), key=jax.random.key(0))
    assert (np.asarray(out.info.flags) == 16).all()
    assert np.isfinite(out.log_evidence).all()
    points = drawn(model.transition, 0.0, 1.0, 2000)
    assert 0 < np.isnan(points).mean() < 0.5
    assert not np.isnan(drawn(model.transition, 0.0, 1e-6, 2000)).any()
