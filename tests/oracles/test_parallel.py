"""The filters parallel in time are those that go step by step."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest

import filterlearn as fl
from tests.cases import CHAIN, driven_data, driven_model, linear_data, linear_model


def answers(form):
    """Of both filters, as functions of a scale; inputs, matrices that move, equal times, missing entries, and data before
    the start; 150 = 12 x 12 + 6 rows."""
    data = driven_data(150)
    late = eqx.tree_at(lambda m: m.initial.time, driven_model(), data.times[2])
    save = lambda belief, info: (belief.mean, belief.covariance, info.log_evidence, info.predicted, 1.0 * info.flags)  # noqa: E731

    def answer(scale, algorithm):
        model = eqx.tree_at(lambda m: m.transition.drift_matrix, late, scale * late.transition.drift_matrix)
        out = fl.run(algorithm, model, data, save=save)
        return *out.saved, out.last.mean, out.last.time

    return [lambda scale, a=a: answer(scale, a(form)) for a in (fl.Kalman, fl.ParallelKalman)]


def check_equal(both):
    for ours, theirs in zip(*map(jax.tree.leaves, both), strict=True):
        np.testing.assert_array_equal(np.isnan(ours), np.isnan(theirs))
        np.testing.assert_allclose(ours, theirs, atol=1e-9)


def test_equal_with_its_derivative():
    both = [jax.jvp(answer, (1.1,), (1.0,)) for answer in answers(fl.MomentForm())]
    check_equal(both)
    assert both[0][0][4][0] == 8  # late


def test_equal_by_square_roots():
    check_equal([answer(1.1) for answer in answers(fl.SquareRootForm())])


@pytest.mark.parametrize("length", [1, 16])
def test_series_of_any_length(length):
    """No lane, no rest, or both; a start at the first datum."""
    model = eqx.tree_at(lambda m: m.initial.time, linear_model(), jnp.asarray(-jnp.inf))
    ours, theirs = (fl.run(a(), model, linear_data(16)[:length]) for a in (fl.ParallelKalman, fl.Kalman))
    np.testing.assert_allclose(ours.log_evidence, theirs.log_evidence, atol=1e-12)
    np.testing.assert_allclose(ours.last.covariance, theirs.last.covariance, atol=1e-12)


def test_finite_states_are_equal_too():
    """Weights and all that is told; times that the chain reads, equal times, missing entries, data before the start, and 40
    data so far from any state that their densities underflow; 150 = 12 x 12 + 6 rows."""
    data = linear_data(150)
    far = jnp.where(jnp.arange(150)[:, None] < 110, data.values[:, :1], 1e4)
    chain = fl.MarkovChain(lambda t, u: jnp.where(t > 9.0, CHAIN, CHAIN.T / CHAIN.T.sum(1, keepdims=True)))
    seen = fl.DistributionObservation(lambda t, x, u: dist.Normal(x - 1, 0.8))
    model = fl.StateSpaceModel(fl.Initial(dist.Categorical(jnp.array([0.5, 0.2, 0.3])), data.times[2]), chain, seen)
    runs = [fl.run(a(), model, fl.Dataset(data.times, far)) for a in (fl.HiddenMarkov, fl.ParallelHiddenMarkov)]
    both = [(out.beliefs.log_weights, out.info, out.last) for out in runs]
    for ours, theirs in zip(*map(jax.tree.leaves, both), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-10, atol=1e-10)
    assert runs[0].log_evidence.min() < -1e7


def test_a_diffuse_start_is_refused():
    model = linear_model()
    vague = fl.StateSpaceModel(fl.Diffuse(2), model.transition, model.observation)
    with pytest.raises(TypeError, match="initial: ParallelKalman needs a proper start, got Diffuse; use Kalman"):
        fl.log_evidence(fl.ParallelKalman(), vague, linear_data(12))
