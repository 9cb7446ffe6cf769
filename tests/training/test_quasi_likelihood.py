"""The quasi-likelihood against its densities."""

import jax
import jax.numpy as jnp
import numpy as np
from scipy.stats import multivariate_normal

import filterlearn as fl


def test_it_is_the_sum_of_the_densities_of_the_steps():
    """With inputs, a state-dependent diffusion, unequal and zero gaps, and a missing entry, whose pairs are left out."""
    rng = np.random.default_rng(0)
    times, values, inputs = np.array([0.0, 0.1, 0.4, 0.4, 0.7, 0.8]), rng.normal(size=(6, 2)), rng.normal(size=(6, 1))
    values[3] = values[2]
    values[5, 1] = np.nan
    drift = lambda t, x, u: -x + t + u  # noqa: E731
    diffusion = lambda t, x, u: jnp.array([[1.0, 0.2], [0.0, 1.0]]) * (1 + x[0] ** 2)  # noqa: E731
    objective = fl.QuasiLikelihood(lambda module: fl.SDE(drift, diffusion))
    exact = 0.0
    for k in (0, 1, 3):
        h, g = times[k + 1] - times[k], np.asarray(diffusion(0.0, values[k], None))
        mean = values[k] + h * (-values[k] + times[k] + inputs[k + 1])
        exact -= multivariate_normal(mean, h * g @ g.T).logpdf(values[k + 1])
    found = objective.loss({}, fl.Dataset(times, values, inputs), jax.random.key(0))
    np.testing.assert_allclose(found, exact, rtol=1e-12)
