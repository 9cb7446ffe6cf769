"""Finite states and regimes against all their paths, one by one."""

import itertools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest
from scipy.linalg import expm

import filterlearn as fl
from tests.cases import CHAIN, FINITE, MIXTURE_FILTERS, switching_model

LEVELS = np.array([-1.0, 0.5, 2.0])
START = np.array([0.5, 0.2, 0.3])
TIMES, VALUES = np.array([0.4, 1.0, 1.0, 2.5, 2.6]), np.array([0.3, np.nan, -0.7, 1.5, 2.2])


def hidden(transition, spread=0.6):
    seen = fl.DistributionObservation(lambda t, x, u: dist.Normal(jnp.asarray(LEVELS)[x[0].astype(int)], spread))
    return fl.StateSpaceModel(fl.Initial(dist.Categorical(jnp.asarray(START)), 0.0), transition, seen)


def moved(name):
    """The probabilities of each gap, the third without length."""
    gaps = np.diff(TIMES, prepend=0.0)
    return [expm((CHAIN - np.eye(3)) * h) if name == "markov_process" else CHAIN if h else np.eye(3) for h in gaps]


def all_paths(name, spread):
    """(log p(y), P(last state | y)) over the 3^6 paths."""
    paths = np.array(list(itertools.product(range(3), repeat=6)))
    chances = START[paths[:, 0]] * np.prod([p[paths[:, k], paths[:, k + 1]] for k, p in enumerate(moved(name))], axis=0)
    seen = ~np.isnan(VALUES)
    densities = jax.scipy.stats.norm.logpdf(VALUES[seen], LEVELS[paths[:, 1:]][:, seen], spread)
    weights = chances * jnp.exp(densities.sum(1))
    return jnp.log(weights.sum()), jnp.stack([weights[paths[:, -1] == k].sum() for k in range(3)]) / weights.sum()


@pytest.mark.parametrize("name", FINITE)
def test_hidden_markov_is_all_paths(name):
    """Evidence, probabilities, and their derivatives; a missing datum, two at one time, a zero probability."""

    def filtered(spread):
        out = fl.run(fl.HiddenMarkov(), hidden(FINITE[name](), spread), fl.Dataset(TIMES, VALUES))
        return out.log_evidence.sum(), out.last.weights

    both = [jax.jvp(f, (0.6,), (1.0,)) for f in (filtered, lambda spread: all_paths(name, spread))]
    for ours, theirs in zip(*map(jax.tree.leaves, both), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-12)


@pytest.mark.parametrize("name", FINITE)
def test_finite_states_are_drawn_by_their_probabilities(name):
    transition, n = FINITE[name](), 40_000
    draws = transition.sample_many(jnp.ones((n, 1)), 0.5, 1.3, key=jax.random.key(0))
    p = np.asarray(transition.probabilities(0.5, 1.3))
    np.testing.assert_allclose(p.sum(1), 1.0, atol=1e-12)
    for k in range(3):
        assert abs((draws == k).mean() - p[1, k]) < 5 * np.sqrt(p[1, k] * (1 - p[1, k]) / n) + 1e-12
    np.testing.assert_array_equal(transition.sample_many(draws, 1.3, 1.3, key=jax.random.key(1)), draws)


discretised = eqx.filter_jit(lambda transition, a, b: transition.discretise(a, b))
probabilities = eqx.filter_jit(lambda chain, a, b: chain.probabilities(a, b))


def regimes(model, data):
    """(log p(y), mean and covariance of (x, r) at the end) with a Kalman filter for each path of the regime."""
    chain, law, times = model.transition.chain, model.initial.distribution, jnp.append(0.0, data.times)
    laws = [[discretised(each, a, b) for a, b in itertools.pairwise(times)] for each in model.transition.transitions]
    chances = [np.asarray(probabilities(chain, a, b)) for a, b in itertools.pairwise(times)]
    laws = [[[float(part.ravel()[0]) for part in law] for law in each] for each in laws]
    seen = [
        [float(part[0]) for part in (model.observation.of(r).covariance[0], model.observation.of(r).offset)] for r in (0, 1)
    ]
    values, start = np.asarray(data.values[:, 0]), [float(law.mean_x[0]), float(law.covariance_x[0, 0])]
    logs, means, variances = [], [], []
    for path in itertools.product(range(2), repeat=len(times)):
        weight, (m, p) = np.log(float(law.probabilities[path[0]])), start
        for k, r in enumerate(path[1:]):
            a, b, q = laws[r][k]
            m, p = a * m + b, a * a * p + q
            weight = weight + np.log(chances[k][path[k], r])
            if np.isfinite(values[k]):
                noise, error = seen[r][0], values[k] - m - seen[r][1]
                weight = weight - 0.5 * (np.log(2 * np.pi * (p + noise)) + error**2 / (p + noise))
                m, p = m + p / (p + noise) * error, p * noise / (p + noise)
        logs.append(weight), means.append([m, path[-1]]), variances.append(p)
    total = np.logaddexp.reduce(logs)
    w, means = np.exp(np.array(logs) - total), np.array(means)
    off = means - w @ means
    return total, w @ means, (w[:, None] * off).T @ off + np.diag([w @ np.array(variances), 0.0])


def drawn(length, seed=1):
    """Data of the model at irregular times, the fourth missing."""
    times = np.cumsum(np.random.default_rng(seed).uniform(0.2, 0.8, length))
    values = np.array(fl.simulate(switching_model(), times, key=jax.random.key(seed))[1])
    values[3:4] = np.nan
    return fl.Dataset(times, values)


def last_of(algorithm, model, data):
    out = fl.run(algorithm, model, data, save=lambda belief, info: info.log_evidence)
    return jnp.sum(out.saved), out.last


def test_pairs_of_regimes_are_exact_for_two_data():
    data = drawn(2)
    total, mean, covariance = regimes(switching_model(), data)
    evidence, last = last_of(fl.Switching(fl.Kalman(), fl.PairsOfRegimes()), switching_model(), data)
    np.testing.assert_allclose(evidence, total, atol=1e-12)
    np.testing.assert_allclose(last.mean, mean, atol=1e-12)
    np.testing.assert_allclose(last.covariance, covariance, atol=1e-12)
    np.testing.assert_allclose(last.probability(lambda r: r[0] == 1), mean[1], atol=1e-12)


def test_merging_costs_little():
    """Six data, 128 paths, two series: the log evidence of pairs is within .01 nat of the exact one, that of interacting
    models within .15, and pairs are nearer on average; so are the means."""
    model, errors = switching_model(), {"interacting_models": [], "pairs_of_regimes": []}
    for seed in range(2):
        data = drawn(6, seed)
        total, mean, _ = regimes(model, data)
        for name, each in errors.items():
            evidence, last = last_of(MIXTURE_FILTERS[name](), model, data)
            each.append([abs(float(evidence) - total), *abs(np.asarray(last.mean) - mean)])
    coarse, fine = (np.array(errors[name]) for name in errors)
    assert (fine.mean(0) < coarse.mean(0)).all()
    assert (fine[:, 0] < 0.01).all()
    assert (coarse[:, 0] < 0.15).all()


BRANCHINGS = ("interacting_models", "pairs_of_regimes")


@pytest.mark.parametrize("name", BRANCHINGS)
def test_regimes_of_a_known_state_are_a_hidden_markov_model(name):
    """x is 0.3 for ever; the regime alone moves the mean and the noise of the data."""
    parts = [(0.1, 0.0), (0.5, 0.4)]
    still = fl.LinearDiscrete([[1.0]], [[0.0]])
    seen = [fl.LinearGaussianObservation([[1.0]], [[r]], [d]) for r, d in parts]
    chain, start = fl.MarkovProcess([[-0.4, 0.4], [0.7, -0.7]]), jnp.array([0.7, 0.3])
    switched = fl.StateSpaceModel(
        fl.Initial(fl.RegimeStart([0.3], [[0.0]], start), 0.0), fl.Switched(chain, [still] * 2), fl.SwitchedObservation(seen)
    )
    means, sds = 0.3 + jnp.array([0.0, 0.4]), jnp.sqrt(jnp.array([0.1, 0.5]))
    numbered = fl.DistributionObservation(lambda t, x, u: dist.Normal(means[x[0].astype(int)], sds[x[0].astype(int)]))
    finite = fl.StateSpaceModel(fl.Initial(dist.Categorical(start), 0.0), chain, numbered)
    save = lambda belief, info: (info.log_evidence, info.predicted, belief.mean[-1])  # noqa: E731
    ours = fl.run(MIXTURE_FILTERS[name](), switched, drawn(12), save=save).saved
    theirs = fl.run(fl.HiddenMarkov(), finite, drawn(12), save=save).saved
    for one, two in zip(*map(jax.tree.leaves, (ours, theirs)), strict=True):
        np.testing.assert_allclose(one, two, atol=1e-12)


def test_particles_switch_by_the_same_law():
    """exp(log evidence) of 200 particles, over 400 keys, has the sum over all paths as its mean."""
    model, data = switching_model(), drawn(3)
    total = regimes(model, data)[0]
    estimates = jax.vmap(lambda k: fl.log_evidence(fl.ParticleFilter(200), model, data, key=k))(
        jax.random.split(jax.random.key(0), 400)
    )
    ratio = np.exp(np.asarray(estimates) - total)
    assert abs(ratio.mean() - 1) < 5 * ratio.std() / 20


def test_single_precision_stays_single():
    """And near double: four data, some ten roundings of magnitude 10 each."""
    data = drawn(4)

    def narrow(tree):
        return jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float32) if eqx.is_inexact_array(leaf) else leaf, tree)

    for model, name in ((hidden(FINITE["markov_process"]()), "hidden_markov"), (switching_model(), "pairs_of_regimes")):
        wide, out = (fl.run(MIXTURE_FILTERS[name](), f(model), f(data)) for f in (lambda tree: tree, narrow))
        floats = [leaf for leaf in jax.tree.leaves(out.last) if eqx.is_inexact_array(leaf)]
        assert all(leaf.dtype == jnp.float32 for leaf in floats)
        np.testing.assert_allclose(out.log_evidence, wide.log_evidence, atol=100 * np.finfo(np.float32).eps)
