"""The weak form against closed forms."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import filterlearn as fl

KEY = jax.random.key(0)


def loss(objective, times, values):
    return float(objective.loss({}, fl.Dataset(times, values), KEY))


def cubic(module):
    return lambda t, x, u: jnp.array([1.0 - 2 * t + 3 * t**2])


def path(t):
    return t - t**2 + t**3


def test_a_path_that_solves_the_equation_is_without_loss():
    """Where gaps are equal the trapezium rule misses the integral of d(psi x) by its Euler-Maclaurin terms, the first of
    order 2 for psi of order 1 and of order 4 for order 3. Where gaps differ the order is 2 or more."""
    equal = [np.linspace(0, 1, n + 1) for n in (40, 20)]
    uneven = [t + 0.2 / (len(t) - 1) * (np.arange(len(t)) % 2) for t in (np.linspace(0, 1, n + 1) for n in (80, 40))]
    for times, order, least, most in ((equal, 1, 4, 4), (equal, 3, 8, 8), (uneven, 3, 4, 8)):
        small, large = (loss(fl.WeakForm(cubic, len(t), order=order), t, path(t)) for t in times)
        assert 0.7 * 2**least < large / small < 1.4 * 2**most
        assert small < 1e-4


def test_a_constant_mismatch_is_its_square():
    """In every window, whatever is missing elsewhere; in units of the scale."""
    values = np.full(41, 3.0)
    values[[3, 30]] = np.nan
    off = fl.WeakForm(lambda module: lambda t, x, u: jnp.array([0.5]), 9, scale=2.0)
    series = [fl.Dataset(np.linspace(0, 2, 41), values), fl.Dataset(np.linspace(0, 4, 81), np.zeros(81))]
    for k in range(2):
        padded = jax.tree.map(lambda leaf: leaf[k], fl.stacked(series))  # noqa: B023
        np.testing.assert_allclose(off.loss({}, padded, KEY), 0.25**2, rtol=1e-12)


def test_refusals():
    with pytest.raises(ValueError, match="window: at most the 5 rows of a series, got 9"):
        loss(fl.WeakForm(cubic, 9), np.arange(5.0), np.arange(5.0))
    with pytest.raises(ValueError, match="order: a whole number"):
        fl.WeakForm(cubic, 9, order=0)
