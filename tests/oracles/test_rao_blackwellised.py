"""Regimes and jumps drawn, the rest exact: against all histories, jump times by quadrature."""

import itertools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest
from scipy import stats

import filterlearn as fl
from tests.oracles.streaming import streamed
from tests.oracles.test_gaussian_sum import DRIFT, RATE, D, M, S, jumped, jumps, price, series
from tests.oracles.test_switching import regimes

KEY = jax.random.key(0)
PULL, NOISE = 0.8, 0.02


def runs(algorithm, model, data, keys):
    """Log evidence and last mean over some keys."""

    def one(key):
        terms, means = fl.run(algorithm, model, data, key=key, save=lambda b, i: (i.log_evidence, b.mean)).saved
        return jnp.sum(terms), means[-1]

    return [np.asarray(part) for part in jax.lax.map(one, jax.random.split(KEY, keys), batch_size=100)]


def check_unbiased(estimates, total, mean):
    """exp(estimate - exact) has mean 1, and times the error of the mean it has mean 0: five standard errors, below .02."""
    ratio = np.exp(estimates[0] - total)[:, None]
    for sample in (ratio - 1, ratio * (estimates[1] - mean)):
        se = sample.std(0, ddof=1) / np.sqrt(len(sample))
        assert (abs(sample.mean(0)) < 5 * se + 1e-12).all()
        assert (se < 0.02).all()
    return np.var(estimates[0])


def light(scale=1.0):
    """Two regimes of one step for each datum."""
    steps = [fl.LinearDiscrete([[a]], q) for a, q in ((0.9, [[0.1]]), (0.5, jnp.reshape(scale, (1, 1))))]
    switched = fl.Switched(fl.MarkovChain([[0.7, 0.3], [0.4, 0.6]]), steps)
    seen = fl.SwitchedObservation([fl.LinearGaussianObservation([[1.0]], [[r]], [d]) for r, d in ((0.1, 0.0), (0.5, 0.4))])
    return fl.StateSpaceModel(fl.Initial(fl.RegimeStart([0.3], [[0.2]], [0.7, 0.3]), 0.0), switched, seen)


def test_regimes_against_all_their_paths():
    """Eight data, one missing, 512 paths, 20 histories; where points are drawn the log varies tenfold as much, and with 80
    histories less than half: as 1 / N it is a quarter."""
    model, data = light(), fl.Dataset(np.arange(1.0, 9.0), [0.5, -1.5, 0.2, np.nan, 2.0, 1.0, 0.9, -2.0])
    total, mean, _ = regimes(model, data)
    ours = check_unbiased(runs(fl.RaoBlackwellised(fl.Kalman(), 20), model, data, 400), total, mean)
    points = np.var(runs(fl.ParticleFilter(20), model, data, 400)[0])
    many = np.var(runs(fl.RaoBlackwellised(fl.Kalman(), 80), model, data, 200)[0])
    print(f"\nvariance of the log evidence: {ours:.4f}, with 80 histories {many:.4f}, with 20 points {points:.4f}")
    assert ours < 0.1 * points
    assert many < 0.5 * ours


def by_history(gaps, values, chances):
    """(log p(y), last mean): a scalar Kalman filter from 0 for each choice among `chances(gap)`, of (log-weight, a, b, q)."""
    logs, means = [], []
    for history in itertools.product(*map(chances, gaps)):
        m = p = weight = 0.0
        for (chance, a, b, q), y in zip(history, values, strict=True):
            m, p = a * m + b, a * a * p + q
            weight += chance + stats.norm.logpdf(y, m, np.sqrt(p + NOISE))
            m, p = m + p / (p + NOISE) * (y - m), p * NOISE / (p + NOISE)
        logs.append(weight), means.append(m)
    total = np.logaddexp.reduce(logs)
    return total, np.exp(np.array(logs) - total) @ np.array(means)


def at_any_time(gap):
    """An Ornstein-Uhlenbeck process with at most one jump in a gap, its time at the 12 nodes of Gauss and Legendre."""
    nodes, weights = np.polynomial.legendre.leggauss(12)
    a, left = np.exp(-PULL * gap), np.exp(-PULL * gap * (nodes + 1) / 2)
    q, none = S**2 * (1 - a**2) / (2 * PULL), -np.log1p(RATE * gap)
    jump = zip(none + np.log(RATE * gap * weights / 2), left * M, q + left**2 * D**2, strict=True)
    return [(none, a, 0.0, q), *((w, a, b, v) for w, b, v in jump)]


def in_any_step(gap):
    """The same in two Euler steps, at most two jumps in the gap."""
    h, chance = gap / 2, -np.log1p(RATE * gap + (RATE * gap) ** 2 / 2)
    a, rows = 1 - PULL * h, []
    for first, second in ((0, 0), (1, 0), (0, 1), (2, 0), (1, 1), (0, 2)):
        n = first + second
        weight = chance + n * np.log(RATE * h) - np.log(1 + ((first, second) in ((2, 0), (0, 2))))
        spread = [S**2 * h + k * D**2 for k in (first, second)]
        rows.append((weight, a * a, a * first * M + second * M, a * a * spread[0] + spread[1]))
    return rows


def stepped():
    sde = fl.SDE(lambda t, x, u: -PULL * x, jnp.array([S]), jumps(most=2))
    return fl.EulerMaruyama(sde, steps=2)


JUMPING = {
    "at any time": (lambda: fl.LinearSDE([[-PULL]], [[S]], jumps=jumps(most=1)), fl.Kalman, at_any_time),
    "in any step": (stepped, fl.ExtendedKalman, in_any_step),
    "in any step, by a rule": (stepped, fl.SigmaPoint, in_any_step),
}


@pytest.mark.parametrize("name", JUMPING)
def test_jumps_against_all_their_numbers_and_times(name):
    transition, inside, chances = JUMPING[name]
    seen = fl.LinearGaussianObservation([[1.0]], [[NOISE]])
    model = fl.StateSpaceModel(fl.Gaussian([0.0], 0.0, time=0.0), transition(), seen)
    data, exact = fl.Dataset([0.7, 1.6], [-0.25, 0.1]), by_history([0.7, 0.9], [-0.25, 0.1], chances)
    check_unbiased(runs(fl.RaoBlackwellised(inside(), 20), model, data, 400), *exact)


def test_merton_increments_are_poisson_sums():
    """A10 (a): where the state is seen without error two histories are exact, and so is the probability of a jump."""
    data, gaps, steps = series(40)
    n = np.arange(80)
    spread = np.sqrt(S**2 * gaps[:, None] + n * D**2)
    terms = stats.poisson.pmf(n, RATE * gaps[:, None]) * stats.norm.pdf(steps[:, None], DRIFT * gaps[:, None] + n * M, spread)
    save = lambda belief, info: (info.log_evidence, belief.probability(jumped), belief.mean)  # noqa: E731
    found = fl.run(fl.RaoBlackwellised(fl.Kalman(), 2), price(), data, key=KEY, save=save).saved
    exact = (np.log(terms.sum(1)), 1 - terms[:, 0] / terms.sum(1), data.values)
    for ours, theirs in zip(found, exact, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-8)
    small = fl.run(fl.RaoBlackwellised(fl.Kalman(), 2), narrow(price()), narrow(data), key=KEY, save=save).saved[0]
    assert small.dtype == jnp.float32
    # an increment is the difference of levels below 5, its scale above S times the root of the least gap
    slack = 100 * np.finfo(np.float32).eps * 5 / (S * np.sqrt(gaps.min()))
    np.testing.assert_allclose(small, exact[0], atol=slack * abs(steps).max() / (S * np.sqrt(gaps.min())))


def test_two_kinds_are_told_apart():
    """Jumps up and jumps down, one number each: the labels count both, and an observed level tells which."""
    kinds = [fl.CompoundPoisson(0.5, dist.Normal(jnp.array([m]), 0.1), most=most) for m, most in ((2.0, 1), (-2.0, 2))]
    seen = fl.LinearGaussianObservation([[1.0]], [[0.01]])
    model = fl.StateSpaceModel(fl.Gaussian([0.0], 0.0, time=0.0), fl.LinearSDE([[0.0]], [[0.1]], jumps=kinds), seen)
    out = fl.run(fl.RaoBlackwellised(fl.Kalman(), 4), model, fl.Dataset([1.0, 2.0], [2.0, -2.0]), key=KEY).beliefs
    first, last = (jax.tree.map(lambda leaf, k=k: leaf[k], out) for k in (0, 1))
    assert first.probability(lambda jumps: (jumps[0] == 1) & (jumps[1] == 0)) > 0.99
    assert last.probability(lambda jumps: (jumps[0] == 0) & (jumps[1] == 2)) > 0.99


def test_stop_gradient_makes_the_score_unbiased():
    """The derivative in a noise, weighed by exp(estimate - exact), over 1,000 keys, with five histories of 32."""
    data = fl.Dataset(np.arange(1.0, 6.0), [0.5, -1.5, 0.2, 2.0, 1.0])
    algorithm = fl.RaoBlackwellised(fl.Kalman(), 5, fl.StopGradient(fl.Systematic()))

    def one(key):
        return jax.jvp(lambda scale: fl.log_evidence(algorithm, light(scale), data, key=key), (1.0,), (1.0,))

    totals = [regimes(light(scale), data)[0] for scale in (0.999, 1.0, 1.001)]
    value, slope = jax.lax.map(one, jax.random.split(KEY, 1000), batch_size=100)
    errors = np.exp(np.asarray(value) - totals[1]) * (np.asarray(slope) - (totals[2] - totals[0]) / 2e-3)
    assert abs(errors.mean()) < 5 * errors.std() / np.sqrt(1000) < 0.1


def narrow(tree):
    """The same in single precision."""
    return jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float32) if eqx.is_inexact_array(leaf) else leaf, tree)


def test_streams_keep_the_histories():
    """A missing datum, and no time, change nothing; single precision, in a scan, stays single and near double, in steps."""
    model, data = light(), fl.Dataset(np.arange(1.0, 9.0), series(8)[0].values)
    algorithm = fl.RaoBlackwellised(fl.Kalman(), 30)
    total = streamed(algorithm, model, data, KEY)
    small = fl.run(algorithm, narrow(model), narrow(data), key=KEY)
    floats = [leaf for leaf in jax.tree.leaves(small.last) if eqx.is_inexact_array(leaf)]
    assert all(leaf.dtype == jnp.float32 for leaf in floats)
    # the two draw other numbers: each total errs by its standard deviation, below .1 for 30 of 512 histories
    assert abs(small.log_evidence.sum() - total) < 5 * np.sqrt(2) * 0.1
