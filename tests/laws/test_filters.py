"""Laws of filters, on the linear model where the answer is known."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import filterlearn as fl
from tests.cases import EXACT_FILTERS, FILTERS, SAMPLING_FILTERS, linear_data, linear_model
from tests.oracles.dense import dense_filter

KEY = jax.random.key(0)


@pytest.mark.parametrize("name", EXACT_FILTERS)
def test_equals_the_dense_gaussian(name):
    model, data = linear_model(), linear_data()
    mean, covariance, evidence = dense_filter(model, data)
    out = fl.run(FILTERS[name](), model, data)
    np.testing.assert_allclose(out.mean, mean, atol=1e-9)
    np.testing.assert_allclose(out.covariance, covariance, atol=1e-9)
    np.testing.assert_allclose(out.log_evidence, evidence, atol=1e-9)


@pytest.mark.parametrize("name", SAMPLING_FILTERS)
def test_sampling_filters_are_near_the_dense_gaussian(name):
    model, data = linear_model(), linear_data(40)
    mean, _, evidence = dense_filter(model, data)
    keys = jax.random.split(KEY, 40)
    save = lambda belief, info: (belief.mean, info.log_evidence)  # noqa: E731
    means, terms = jax.vmap(lambda k: fl.run(FILTERS[name](), model, data, key=k, save=save).saved)(keys)
    # averages over 40 keys within five standard errors, plus the bias of order 1/N (500)
    excess = np.abs(means.mean(0) - mean) - 5 * means.std(0) / np.sqrt(40)
    assert excess.max() < 0.01
    assert abs(terms.sum(1).mean() - evidence.sum()) < 5 * terms.sum(1).std() / np.sqrt(40) + 0.5


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


@pytest.mark.parametrize("name", [*EXACT_FILTERS, "ensemble_kalman"])
def test_gradient_matches_finite_differences(name):
    data = linear_data(20)

    def evidence(scale):
        model = linear_model()
        transition = fl.LinearSDE(model.transition.drift_matrix, scale * model.transition.diffusion)
        model = fl.StateSpaceModel(model.initial, transition, model.observation)
        return fl.log_evidence(FILTERS[name](), model, data, key=KEY)

    slope = jax.grad(evidence)(1.1)
    difference = (evidence(1.1 + 1e-5) - evidence(1.1 - 1e-5)) / 2e-5
    np.testing.assert_allclose(slope, difference, rtol=1e-5)


@pytest.mark.parametrize("name", FILTERS)
def test_three_thetas_trace_once(name):
    import numpyro.distributions as dist

    traces = []

    def build(p):
        traces.append(0)
        model = linear_model()
        return fl.StateSpaceModel(model.initial, fl.LinearSDE(p["a"], 0.5 * jnp.eye(2)), model.observation)

    family = fl.ModelFamily(build, {"a": fl.Parameter(dist.Normal(jnp.zeros((2, 2)), 1.0))})
    data = linear_data(12)
    counts = []
    for k in range(3):
        assert jnp.isfinite(fl.log_evidence(FILTERS[name](), family(jnp.full(4, -0.1 * k)), data, key=KEY))
        counts.append(len(traces))
    assert counts[0] == counts[1] == counts[2]


@pytest.mark.parametrize("name", FILTERS)
def test_single_precision_stays_near_double(name):
    model, data = linear_model(), linear_data(100)
    exact = dense_filter(model, data)[2].sum()
    narrow = lambda tree: jax.tree.map(lambda x: jnp.asarray(x, jnp.float32), tree)  # noqa: E731
    value = fl.log_evidence(FILTERS[name](), narrow(model), narrow(data), key=KEY)
    assert value.dtype == jnp.float32
    # 200 entries with rounding 1e-7 each in a term of order 1 to 100; the sampling filters' own spread is about 1
    assert abs(value - exact) < (0.01 if name in EXACT_FILTERS else 8.0)


def test_a_late_datum_is_flagged_and_changes_nothing():
    model = linear_model()
    session = fl.Session(fl.Kalman(), model, key=KEY)
    first = session.observe(1.0, [0.1, 0.2])
    late = session.observe(0.5, [9.0, 9.0])
    assert late.flags == ("late",)
    np.testing.assert_array_equal(first.mean, late.mean)
