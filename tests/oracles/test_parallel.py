"""The parallel Kalman filter is the Kalman filter."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import filterlearn as fl
from tests.cases import driven_data, driven_model, linear_data, linear_model


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


def test_a_diffuse_start_is_refused():
    model = linear_model()
    vague = fl.StateSpaceModel(fl.Diffuse(2), model.transition, model.observation)
    with pytest.raises(TypeError, match="initial: ParallelKalman needs a proper start, got Diffuse; use Kalman"):
        fl.log_evidence(fl.ParallelKalman(), vague, linear_data(12))
