"""Laws of the filters that take models of their own: jumps, regimes, finite states, a whole series at once."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest

import filterlearn as fl
from tests.cases import CHAIN, FINITE, MARK, MATRIX, NOISE, WIDER, apart, linear_model, switching_model
from tests.laws.test_learners import narrow
from tests.oracles.dense import dense_filter

TIMES = np.array([0.3, 0.9, 0.9, 0.9, 1.4, 2.0, 2.7, 3.1])  # three data at one time
VALUES = np.random.default_rng(3).normal(size=(8, 2))
VALUES[2], VALUES[3] = np.nan, np.nan
VALUES[5, 0], VALUES[6, 1] = np.nan, np.nan
INPUTS = np.repeat(np.random.default_rng(4).normal(size=(6, 1)), [1, 3, 1, 1, 1, 1], axis=0)
ONE_BY_ONE = VALUES.copy()
ONE_BY_ONE[1, 1], ONE_BY_ONE[2] = np.nan, [np.nan, VALUES[1, 1]]
SCALE, SHARE = jnp.asarray(1.1), jnp.asarray(0.8)


def moments(belief, info):
    return belief.mean, belief.covariance, info.log_evidence, info.predicted


class Runs:
    """One compiled run and one compiled step, with a count of the traces of the model."""

    def __init__(self, name):
        self.algorithm, self.traces = WIDER[name][0](), []
        self.run = eqx.filter_jit(self.saved)
        self.step = eqx.filter_jit(lambda belief, datum: fl.step(self.algorithm, self.build(name), belief, datum))
        self.name = name

    def build(self, name, scale=SCALE, share=SHARE):
        self.traces.append(name)
        return WIDER[name][1](scale, share)

    def saved(self, scale, share, values):
        data = fl.Dataset(TIMES, values, INPUTS)
        return fl.run(self.algorithm, self.build(self.name, scale, share), data, save=moments).saved

    def evidence(self, scale):
        return jnp.sum(self.saved(scale, SHARE, VALUES)[2])


def linear(name):
    """Means, covariances and evidence where regimes do not differ and nothing jumps."""
    model = apart(1.1)
    if name == "gaussian_sum":
        model = eqx.tree_at(lambda m: m.transition, model, WIDER[name][1](1.1, 0.0).transition.without_jumps())
    return dense_filter(model, fl.Dataset(TIMES, VALUES, INPUTS))


def by_hand():
    """The same of finite states."""
    weights, means, variances, logs, before = np.array([0.5, 0.2, 0.3]), [], [], [], 0.0
    k, sd = np.arange(3), 1.1 * np.array([0.8, 0.6])
    for t, y, u in zip(TIMES, VALUES, INPUTS[:, 0], strict=True):
        moved = np.eye(3) + (t > before) / (1 + np.exp(-np.sin(t) - u)) * (CHAIN - np.eye(3))
        density = np.exp(-(((y - np.stack([k - u, -k], 1)) / sd) ** 2) / 2) / (sd * np.sqrt(2 * np.pi))
        weights = weights @ moved * np.where(np.isnan(y), 1.0, density).prod(1)
        logs.append(np.log(weights.sum()))
        weights, before = weights / weights.sum(), t
        means.append([weights @ k]), variances.append([[weights @ k**2 - (weights @ k) ** 2]])
    return np.array(means), np.array(variances), np.array(logs)


@pytest.mark.parametrize("name", WIDER)
def test_every_law(name):
    """Against the exact answer; nothing seen, nothing changed; one sensor after another; streaming; vmap and derivative."""
    runs, right = Runs(name), by_hand() if name.endswith("markov") else linear(name)
    size = right[0].shape[1]  # without the regime
    mean, covariance, evidence, _ = runs.run(SCALE, jnp.asarray(1e-13), VALUES)
    np.testing.assert_allclose(mean[:, :size], right[0], atol=1e-9)
    np.testing.assert_allclose(covariance[:, :size, :size], right[1], atol=1e-9)
    np.testing.assert_allclose(evidence, right[2], atol=1e-9)
    whole, split = (runs.run(SCALE, SHARE, values) for values in (VALUES, ONE_BY_ONE))
    assert whole[2][2] == whole[2][3] == 0
    for found, later in zip(whole[:2], split[:2], strict=True):
        np.testing.assert_allclose(found[3], found[1], atol=1e-15)
        np.testing.assert_allclose(later[2:], found[2:], atol=1e-9)
    np.testing.assert_allclose(split[2].sum(), whole[2].sum(), atol=1e-9)
    check_streaming(runs, whole)
    check_derivative(runs)


def check_streaming(runs, whole):
    """Datum by datum, in one trace."""
    belief = runs.algorithm.init(runs.build(runs.name))
    belief, count = fl.protocol.strong(belief), None
    for k in range(8):
        belief, info = runs.step(belief, fl.Dataset(TIMES, VALUES, INPUTS).datum(k))
        count = count or len(runs.traces)
        for one, row in zip(jax.tree.leaves(moments(belief, info)), jax.tree.leaves(whole), strict=True):
            np.testing.assert_allclose(one, row[k], rtol=1e-10, atol=1e-10)
    assert len(runs.traces) == count


def check_derivative(runs):
    """Two scales at once, against one by one and finite differences; backward it can be taken too."""
    scales, one = jnp.array([1.1, 0.9]), jnp.ones(())
    values, slopes = jax.jit(jax.vmap(lambda scale: jax.jvp(runs.evidence, (scale,), (one,))))(scales)
    total = lambda scale: runs.run(scale, SHARE, VALUES)[2].sum()  # noqa: E731
    np.testing.assert_allclose(values, [total(scale) for scale in scales], rtol=1e-10)
    np.testing.assert_allclose(slopes, [(total(s + 1e-5) - total(s - 1e-5)) / 2e-5 for s in scales], rtol=1e-5)
    assert jax.eval_shape(jax.grad(runs.evidence), one).shape == ()


def test_single_precision_stays_single():
    """Traced: nothing in the code is of double precision by itself."""
    linear = linear_model()
    jumps = fl.LinearSDE(MATRIX, NOISE, jumps=fl.CompoundPoisson(1.5, MARK, most=2))
    models = {
        "parallel_kalman": linear,
        "gaussian_sum": eqx.tree_at(lambda m: m.transition, linear, jumps),
        "interacting_models": switching_model(),
        "parallel_hidden_markov": fl.StateSpaceModel(
            fl.Initial(dist.Categorical(jnp.full(3, 1 / 3)), 0.0),
            FINITE["markov_process"](),
            fl.DistributionObservation(lambda t, x, u: dist.Normal(x, 0.6)),
        ),
    }
    for name, model in models.items():
        values = VALUES if name in ("parallel_kalman", "gaussian_sum") else VALUES[:, :1]
        each = narrow((model, fl.Dataset(TIMES, values)))
        out = eqx.filter_eval_shape(lambda m, d, a=WIDER[name][0]: fl.run(a(), m, d).saved, *each)
        assert {leaf.dtype for leaf in jax.tree.leaves(out)} <= {np.dtype(np.float32), np.dtype(np.int32), np.dtype(np.int64)}
