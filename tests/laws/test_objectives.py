"""Laws of what training makes small."""

import equinox as eqx
import jax
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

import filterlearn as fl
from tests.cases import OBJECTIVES

KEY = jax.random.key(2)


@pytest.fixture(scope="module", params=OBJECTIVES)
def told(request):
    """The objective, its loss and slope as functions of the flat weights, the weights, the series and their stack."""
    objective, module, series = OBJECTIVES[request.param]()
    arrays, rest = eqx.partition(module, eqx.is_inexact_array)
    flat, unravel = ravel_pytree(arrays)

    @jax.jit
    def both(w, each, key):
        return jax.value_and_grad(lambda w: objective.loss(eqx.combine(unravel(w), rest), each, key))(w)

    stack = fl.stacked(series)
    return objective, module, both, flat, jax.tree.map(lambda leaf: leaf[0], stack), stack


def test_the_slope_is_that_of_the_loss(told):
    """Along a random direction, against central differences."""
    _, _, both, flat, series, _ = told
    direction = jax.random.normal(jax.random.key(5), flat.shape)
    value, slope = both(flat, series, KEY)
    ahead, behind = (both(flat + h * direction, series, KEY)[0] for h in (1e-5, -1e-5))
    assert np.isfinite(value)
    np.testing.assert_allclose(slope @ direction, (ahead - behind) / 2e-5, rtol=1e-5, atol=1e-7)


def test_the_same_key_gives_the_same_loss(told):
    _, _, both, flat, series, _ = told
    np.testing.assert_array_equal(both(flat, series, KEY)[0], both(flat, series, KEY)[0])


def test_training_goes_down(told):
    """Thirty steps on one noise: the loss at the end, under that noise, is less than before."""
    objective, module, _, _, _, stack = told
    out = fl.train(objective, module, stack, steps=30, every=30, held_out=stack, key=KEY)
    assert out.held_out[1] < out.held_out[0]
