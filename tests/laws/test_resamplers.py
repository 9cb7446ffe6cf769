"""Laws of resamplers."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import filterlearn as fl
from tests.cases import RESAMPLERS

W = jnp.log(jnp.array([0.5, 0.05, 0.2, 0.0, 0.25]))


@pytest.mark.parametrize("name", RESAMPLERS)
def test_counts_are_unbiased(name):
    resampler = RESAMPLERS[name]()

    def counts(key):
        points, weights = resampler.resample(W, jnp.arange(5), key=key)
        return jnp.zeros(5).at[points].add(5 * jnp.exp(weights))

    many = jax.vmap(counts)(jax.random.split(jax.random.key(0), 20_000))
    error = jnp.abs(many.mean(0) - 5 * jnp.exp(W))
    assert (error <= 5 * many.std(0) / np.sqrt(20_000) + 1e-12).all()


def test_adaptive_keeps_good_weights():
    points, weights = fl.Adaptive(fl.Systematic(), 0.1).resample(W, jnp.arange(5), key=jax.random.key(0))
    assert (points == jnp.arange(5)).all()
    assert (weights == W).all()


def test_stop_gradient_carries_the_score_of_the_evidence():
    """The derivative of log(mean of the new weights) is that of the old ones in expectation."""

    def new(shift, key):
        weights = jax.nn.log_softmax(W.at[3].set(-3.0) + shift * jnp.arange(5))
        points, after = fl.StopGradient(fl.Multinomial()).resample(weights, jnp.arange(5.0), key=key)
        return jnp.sum(jnp.exp(after) * points)

    keys = jax.random.split(jax.random.key(1), 20_000)
    slopes = jax.vmap(jax.grad(new), (None, 0))(0.1, keys)
    exact = jax.grad(lambda s: jnp.sum(jax.nn.softmax(W.at[3].set(-3.0) + s * jnp.arange(5)) * jnp.arange(5.0)))(0.1)
    assert abs(slopes.mean() - exact) < 5 * slopes.std() / np.sqrt(20_000)
