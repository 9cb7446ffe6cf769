"""Laws of filters, on linear models where the answer is known."""

import dataclasses
import functools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest

import filterlearn as fl
from filterlearn.resamplers.base import AbstractIndexResampler
from tests.cases import (
    EXACT_FILTERS,
    EXACT_SETTINGS,
    FILTERS,
    LINEAR_PROBLEMS,
    RESAMPLERS,
    SAMPLING_FILTERS,
    linear_data,
    linear_model,
)
from tests.oracles.dense import dense_filter

KEY = jax.random.key(0)


def scaled(scale):
    """The linear model with its noise scaled."""
    return eqx.tree_at(lambda m: m.transition.diffusion, linear_model(), scale * linear_model().transition.diffusion)


def error(sample):
    """Standard error of a mean over the first axis."""
    return sample.std(0, ddof=1) / np.sqrt(len(sample))


@functools.cache
def linear(problem, length):
    """A linear problem: the model, the data, and the exact answer."""
    model, data = LINEAR_PROBLEMS[problem][0](), LINEAR_PROBLEMS[problem][1](length)
    return model, data, dense_filter(model, data)


@pytest.mark.parametrize("problem", LINEAR_PROBLEMS)
@pytest.mark.parametrize("name", EXACT_FILTERS | EXACT_SETTINGS)
def test_equals_the_dense_gaussian(name, problem):
    model, data, (mean, covariance, evidence) = linear(problem, 150)
    out = fl.run((EXACT_FILTERS | EXACT_SETTINGS)[name](), model, data)
    np.testing.assert_allclose(out.mean, mean, atol=1e-9)
    np.testing.assert_allclose(out.covariance, covariance, atol=1e-9)
    np.testing.assert_allclose(out.log_evidence, evidence, atol=1e-9)


@pytest.mark.parametrize("problem", LINEAR_PROBLEMS)
@pytest.mark.parametrize("name", SAMPLING_FILTERS)
def test_sampling_filters_tend_to_the_dense_gaussian(name, problem):
    """Means, covariances and log evidence extrapolated from N / 2 and N members, over 100 keys each: of their bias
    a / N + b / N^2 + ... only -2 b / N^2 is left, 1e-5 b here, which hides below five standard errors, about 1e-2."""
    model, data, (mean, covariance, evidence) = linear(problem, 20)
    algorithm = FILTERS[name]()

    def summaries(size, key):
        one = dataclasses.replace(algorithm, size=size)
        save = lambda belief, info: (belief.mean, belief.covariance, info.log_evidence)  # noqa: E731
        runs = eqx.filter_vmap(lambda k: fl.run(one, model, data, key=k, save=save).saved)(jax.random.split(key, 100))
        return [np.asarray(part) for part in (*runs[:2], jnp.cumsum(runs[2], axis=1))]

    half, whole = (summaries(size, jax.random.key(size)) for size in (algorithm.size // 2, algorithm.size))
    for few, many, exact in zip(half, whole, (mean, covariance, np.cumsum(evidence)), strict=True):
        spread = np.hypot(2 * error(many), error(few))
        assert (abs(2 * many.mean(0) - few.mean(0) - exact) < 5 * spread).all()


@pytest.mark.parametrize("name", FILTERS)
def test_streaming_equals_the_scan(name):
    model, data = linear_model(), linear_data(30)
    out = fl.run(FILTERS[name](), model, data, key=KEY)
    session = fl.Session(FILTERS[name](), model, key=KEY)
    for k in range(30):
        report = session.observe(float(data.times[k]), np.asarray(data.values[k]))
        np.testing.assert_allclose(report.mean, out.mean[k], rtol=1e-10, atol=1e-10)
        np.testing.assert_allclose(report.log_evidence, out.log_evidence[k], rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("name", FILTERS)
def test_an_all_missing_datum_changes_nothing(name):
    model, algorithm = linear_model(), FILTERS[name]()
    before = algorithm.predict(model, algorithm.init(model, key=KEY), jnp.asarray(1.0), key=KEY)
    after, info = algorithm.update(model, before, fl.Datum(jnp.asarray(1.0), jnp.full(2, jnp.nan)), key=KEY)
    assert info.log_evidence == 0
    assert all((a == b).all() for a, b in zip(jax.tree.leaves(before), jax.tree.leaves(after), strict=True))


@pytest.mark.parametrize("name", FILTERS)
def test_no_time_changes_nothing(name):
    """A second datum at the same time finds the belief where the first left it, up to rounding."""
    model, algorithm = linear_model(), FILTERS[name]()
    before = algorithm.predict(model, algorithm.init(model, key=KEY), jnp.asarray(1.0), key=KEY)
    again = algorithm.predict(model, before, jnp.asarray(1.0), key=jax.random.key(1))
    for old, new in zip(jax.tree.leaves(before), jax.tree.leaves(again), strict=True):
        np.testing.assert_allclose(new, old, rtol=0, atol=1e-15)


@pytest.mark.parametrize("name", EXACT_FILTERS)
def test_entries_at_one_time_may_come_one_by_one(name):
    """Independent sensors read at one time, together and in two data."""
    apart = eqx.tree_at(lambda m: m.observation.covariance, linear_model(), jnp.diag(jnp.array([0.3, 0.2])))
    data = linear_data(20)
    first, second = data.values.at[:, 1].set(jnp.nan), data.values.at[:, 0].set(jnp.nan)
    twice = fl.Dataset(jnp.repeat(data.times, 2), jnp.stack([first, second], 1).reshape(-1, 2))
    together, split = (fl.run(FILTERS[name](), apart, each) for each in (data, twice))
    np.testing.assert_allclose(split.mean[1::2], together.mean, atol=1e-12)
    np.testing.assert_allclose(split.covariance[1::2], together.covariance, atol=1e-12)
    np.testing.assert_allclose(split.log_evidence.reshape(-1, 2).sum(1), together.log_evidence, atol=1e-12)


@pytest.mark.parametrize("name", EXACT_FILTERS)
def test_a_stop_on_the_way_changes_nothing(name):
    """Chapman-Kolmogorov: all-missing data between the data leave beliefs and evidence as they were."""
    model, data = linear_model(), linear_data(20)
    starts = jnp.concatenate([jnp.zeros(1), data.times[:-1]])
    times = jnp.stack([starts + 0.3 * (data.times - starts), data.times], 1).ravel()
    values = jnp.stack([jnp.full_like(data.values, jnp.nan), data.values], 1).reshape(-1, 2)
    straight, stopped = (fl.run(FILTERS[name](), model, each) for each in (data, fl.Dataset(times, values)))
    np.testing.assert_allclose(stopped.mean[1::2], straight.mean, atol=1e-12)
    np.testing.assert_allclose(stopped.covariance[1::2], straight.covariance, atol=1e-12)
    np.testing.assert_allclose(stopped.log_evidence[1::2], straight.log_evidence, atol=1e-12)


@pytest.mark.parametrize("name", FILTERS)
def test_vmap_over_models_data_and_keys_equals_the_loop(name):
    """Up to the order of sums; a particle filter keeps its ancestors on these keys."""
    algorithm, data = FILTERS[name](), linear_data(12)
    scales, keys = jnp.array([0.8, 1.0, 1.3]), jax.random.split(KEY, 3)
    shifts = jnp.array([0.0, 0.5, -0.5])

    def one(scale, shift, key):
        moved = eqx.tree_at(lambda d: d.values, data, data.values + shift)
        return fl.log_evidence(algorithm, scaled(scale), moved, key=key)

    loop = [one(*each) for each in zip(scales, shifts, keys, strict=True)]
    np.testing.assert_allclose(jax.vmap(one)(scales, shifts, keys), jnp.stack(loop), rtol=1e-10)


@pytest.mark.parametrize("name", [n for n, make in FILTERS.items() if not hasattr(make(), "resampler")])
def test_gradient_matches_finite_differences(name):
    data = linear_data(20)

    def evidence(scale):
        return fl.log_evidence(FILTERS[name](), scaled(scale), data, key=KEY)

    slope = jax.grad(evidence)(1.1)
    difference = (evidence(1.1 + 1e-5) - evidence(1.1 - 1e-5)) / 2e-5
    np.testing.assert_allclose(slope, difference, rtol=1e-5)


def score_errors(resampler):
    """Over 1,000 keys: the derivative of a particle filter's log evidence minus the exact score, each weighed by
    exp(estimate - exact). Of mean zero when the derivative of exp(estimate) is unbiased, for any number of particles."""
    data = linear_data(15)

    def evidence(scale, algorithm, key=None):
        return fl.log_evidence(algorithm, scaled(scale), data, key=key)

    exact, score = jax.value_and_grad(evidence)(1.1, fl.Kalman())
    particles = fl.ParticleFilter(100, resampler)
    one = lambda key: jax.value_and_grad(evidence)(1.1, particles, key)  # noqa: E731
    value, slope = jax.lax.map(one, jax.random.split(KEY, 1000), batch_size=50)
    return np.asarray(jnp.exp(value - exact) * (slope - score))


@pytest.mark.parametrize("name", [n for n, make in RESAMPLERS.items() if isinstance(make(), AbstractIndexResampler)])
def test_stop_gradient_makes_the_score_unbiased(name):
    errors = score_errors(fl.Adaptive(fl.StopGradient(RESAMPLERS[name]())))
    assert abs(errors.mean()) < 5 * error(errors)


def test_the_path_derivative_alone_is_biased():
    """What `StopGradient` is for: without it the same law fails."""
    errors = score_errors(fl.Adaptive(fl.Systematic()))
    assert abs(errors.mean()) > 5 * error(errors)


def traced(name):
    """A family on the linear model, and the list that grows with each trace of it."""
    traces = []

    def build(p):
        traces.append(name)
        model = linear_model()
        return fl.StateSpaceModel(model.initial, fl.LinearSDE(p["a"], 0.5 * jnp.eye(2)), model.observation)

    return fl.ModelFamily(build, {"a": fl.Parameter(dist.Normal(jnp.zeros((2, 2)), 1.0))}), traces


@pytest.mark.parametrize("name", FILTERS)
def test_three_thetas_trace_once(name):
    family, traces = traced(name)
    data, counts = linear_data(12), []
    for k in range(3):
        assert jnp.isfinite(fl.log_evidence(FILTERS[name](), family(jnp.full(4, -0.1 * k)), data, key=KEY))
        counts.append(len(traces))
    assert counts[0] == counts[1] == counts[2]


@pytest.mark.parametrize("name", FILTERS)
def test_a_stream_traces_once(name):
    """Whatever kind of number comes."""
    family, traces = traced(name)
    session = fl.Session(FILTERS[name](), family(jnp.full(4, -0.1)), key=KEY)
    session.observe(1.0, [0.1, 0.2])
    count = len(traces)
    for time, value in ((2, [1, 0]), (np.float32(3), np.array([np.nan, 0.3], np.float32)), (jnp.asarray(3.0), [np.nan] * 2)):
        session.observe(time, value)
    assert len(traces) == count > 0


def narrow(tree):
    """The same in single precision."""
    return jax.tree.map(lambda x: jnp.asarray(x, jnp.float32), tree)


@pytest.mark.parametrize("name", EXACT_FILTERS)
def test_single_precision_stays_near_double(name):
    model, data = linear_model(), linear_data(100)
    exact = dense_filter(model, data)[2]
    value = fl.log_evidence(FILTERS[name](), narrow(model), narrow(data))
    assert value.dtype == jnp.float32
    # each term is the work of some ten roundings, magnified by the condition of R and S, below 10; they add up like noise
    assert abs(value - exact.sum()) < 10 * 10 * np.finfo(np.float32).eps * abs(exact).sum() / np.sqrt(len(data))


@pytest.mark.parametrize("name", SAMPLING_FILTERS)
def test_single_precision_keeps_the_law(name):
    """The two precisions draw other numbers: their means over 40 keys agree within five standard errors."""
    algorithm, keys, both = FILTERS[name](), jax.random.split(KEY, 40), []
    for model, data in ((linear_model(), linear_data(30)), (narrow(linear_model()), narrow(linear_data(30)))):
        values = eqx.filter_vmap(lambda k, m=model, d=data: fl.log_evidence(algorithm, m, d, key=k))(keys)
        assert values.dtype == data.values.dtype
        both.append(np.asarray(values, float))
    assert abs(both[0].mean() - both[1].mean()) < 5 * np.hypot(error(both[0]), error(both[1]))


def test_a_late_datum_is_flagged_and_changes_nothing():
    model = linear_model()
    session = fl.Session(fl.Kalman(), model, key=KEY)
    first = session.observe(1.0, [0.1, 0.2])
    late = session.observe(0.5, [9.0, 9.0])
    assert late.flags == ("late",)
    np.testing.assert_array_equal(first.mean, late.mean)
