"""A drift that is a Gaussian process."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

import filterlearn as fl


def test_the_weights_prior_is_the_process():
    """The covariance of the drift under standard normal weights, from its Jacobian: at the centres the kernel times scale^2,
    to the jitter; half-way between two, within a hundredth; each state by itself; pulled inwards far away."""
    centres = np.array([[x, y] for x in (-1.0, 0.0, 1.0) for y in (-1.0, 0.0, 1.0)])
    drift = fl.GaussianProcessDrift(centres, 1.3, scale=2.0, pull=0.5, key=jax.random.key(0))
    places = jnp.concatenate([centres, jnp.array([[0.5, 0.5], [-0.5, 0.0]])])

    def rates(weights):
        return jax.vmap(lambda x: eqx.tree_at(lambda d: d.weights, drift, weights)(0.0, x, None))(places)

    slopes = jax.jacfwd(rates)(drift.weights)
    first, second = slopes[:, 0, :, 0], slopes[:, 1, :, 1]
    kernel = 4 * np.exp(-np.sum((places[:, None] - places) ** 2, axis=2) / (2 * 1.3**2))
    np.testing.assert_allclose((first @ first.T)[:9, :9], kernel[:9, :9], atol=1e-4)
    np.testing.assert_allclose(first @ first.T, kernel, atol=0.04)
    np.testing.assert_array_equal(first, second)
    assert not np.any(slopes[:, 0, :, 1])
    np.testing.assert_allclose(drift(0.0, jnp.array([30.0, 0.0]), None), [-15.0, 0.0], atol=1e-12)
