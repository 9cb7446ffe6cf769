"""Laws of learnable diffusions."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import filterlearn as fl
from tests.cases import DIFFUSIONS

U = jnp.array([0.3])


def cast(tree, dtype):
    return jax.tree.map(lambda leaf: leaf.astype(dtype) if eqx.is_inexact_array(leaf) else leaf, tree)


@pytest.mark.parametrize("name", DIFFUSIONS)
def test_noise_is_positive_whatever_the_weights(name):
    """At 1,000 states, under weights thrice the prior's: the determinant of g g' is at least floor^4, up to rounding; the
    derivatives by state and weights are finite, and the precision is the state's."""
    diffusion = DIFFUSIONS[name]()
    wild = jax.tree.map(lambda leaf: 3 * leaf if eqx.is_inexact_array(leaf) else leaf, diffusion)
    sde = fl.SDE(lambda t, x, u: -x, wild)
    xs = 3 * jax.random.normal(jax.random.key(1), (1000, 2))

    def covariance(given, x):
        g = fl.SDE(sde.drift, given).noise_matrix(0.0, x, U)
        return g @ g.T

    def total(both):
        found = jax.vmap(lambda x: covariance(both[0], x))(both[1])
        return jnp.sum(jnp.log(found[:, 0, 0])), found

    slopes, found = eqx.filter_jit(eqx.filter_grad(total, has_aux=True))((wild, xs))
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(slopes))
    assert any(np.any(leaf != 0) for leaf in jax.tree.leaves(slopes[0]))
    assert (np.linalg.det(found) >= diffusion.floor**4 - 1e-9).all()
    single = eqx.filter_eval_shape(
        lambda d, x: d(0.0, x, U.astype(x.dtype)), cast(diffusion, jnp.float32), jnp.float32(xs[0])
    )
    assert single.dtype == jnp.float32


@pytest.mark.parametrize("name", DIFFUSIONS)
def test_the_scale_is_that_at_first(name):
    """Where the network is 0, g g' has the diagonal scale^2."""
    diffusion = DIFFUSIONS[name]()
    silent = jax.tree.map(lambda leaf: 0 * leaf if eqx.is_inexact_array(leaf) else leaf, diffusion)
    g = fl.SDE(lambda t, x, u: -x, silent).noise_matrix(0.0, jnp.ones(2), U)
    np.testing.assert_allclose(g @ g.T, diffusion.scale**2 * np.eye(2), rtol=1e-12)
