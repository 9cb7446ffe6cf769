"""Iterated filtering and its profile against the exact likelihood of a linear-Gaussian model."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from scipy.optimize import minimize

import filterlearn as fl
from examples.iterated_filtering import METHOD, level_data, level_family

RNG = np.random.default_rng(0)


def test_iterated_filtering_ends_at_the_largest_likelihood():
    """Six keys: their mean within five standard errors of the exact maximum, and none outside its half-nat region twice over;
    the prior's median is 25 nats below."""
    family, data = level_family(), level_data()
    exact = eqx.filter_jit(jax.value_and_grad(lambda theta: -fl.log_evidence(fl.Kalman(), family(theta), data)))
    best = minimize(lambda theta: [np.asarray(part) for part in exact(jnp.asarray(theta))], np.zeros(2), jac=True)
    found = jax.vmap(lambda key: METHOD.maximise(family, data, key=key)[0])(jax.random.split(jax.random.key(0), 6))
    error = np.asarray(found) - best.x
    lost = np.array([float(exact(theta)[0]) - best.fun for theta in (*found, family.median)])
    print(best.x, error.mean(0), error.std(0, ddof=1), lost)
    assert (abs(error.mean(0)) < 5 * error.std(0, ddof=1) / np.sqrt(6)).all()
    assert (lost[:-1] < 1).all()
    assert lost[-1] > 25


def test_a_profile_without_noise_has_the_exact_interval():
    """-3 (x - .4)^2: .4 +- sqrt(3.841 / 6), to the spacing of the grid."""
    x = np.linspace(-1.0, 2.0, 31)
    found = fl.adjusted_profile(x, -3 * (x - 0.4) ** 2)
    half = np.sqrt(3.841458820694124 / 6)
    np.testing.assert_allclose([found.estimate, found.low, found.high], [0.4, 0.4 - half, 0.4 + half], atol=0.006)
    np.testing.assert_allclose([found.statistical_sd, found.monte_carlo_sd], [1 / np.sqrt(6), 0.0], atol=1e-9)


def test_noise_widens_the_interval():
    """400 profiles whose top is N(0, 1 / 2 a), seen with noise of two nats: 95 % of the intervals hold 0, and the Monte-Carlo
    sd is that of the top of a parabola that is fitted with the same weights about 0, both within five standard errors."""
    x, held, tops, stated = np.linspace(-4.0, 4.0, 41), [], [], []
    weights = (1 - (abs(x) / 4) ** 3) ** 3
    for _ in range(400):
        shift = RNG.normal() / np.sqrt(2)
        y = -((x - shift) ** 2) + 2 * RNG.normal(size=41)
        found = fl.adjusted_profile(x, y, span=1.0)
        bend, slope, _ = np.polyfit(x, y + x**2 - 2 * shift * x, 2, w=np.sqrt(weights)) - [1.0, 0.0, 0.0]
        held.append(found.low <= 0 <= found.high)
        tops.append(-slope / (2 * bend))
        stated.append(found.monte_carlo_sd)
    print(np.mean(held), np.std(tops), np.median(stated))
    assert abs(np.mean(held) - 0.95) < 5 * np.sqrt(0.95 * 0.05 / 400)
    np.testing.assert_allclose(np.median(stated), np.std(tops), rtol=5 / np.sqrt(2 * 400))
