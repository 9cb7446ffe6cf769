"""A5: stochastic volatility, particle filters against the exact grid, on GBP/USD 1997-99 and on simulated returns."""

import dataclasses
import os
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest
from scipy.optimize import minimize

import filterlearn as fl
from tests.oracles.grid import stochastic_volatility

MU, RHO, SIGMA = -1.02, 0.9702, 0.178
RUNS = 128


def gbp_usd():
    """750 log-returns in percent."""
    lines = (Path(os.environ["FILTERLEARN_DATA"]) / "GBP_vs_USD_9798.txt").read_text().splitlines()
    return 100 * np.diff(np.log([float(line.split()[-1]) for line in lines[2:-1]]))


def simulated():
    """150 returns drawn from the model, not by this library."""
    rng = np.random.default_rng(11)
    x = [MU + SIGMA / np.sqrt(1 - RHO**2) * rng.normal()]
    for _ in range(149):
        x.append(MU + RHO * (x[-1] - MU) + SIGMA * rng.normal())
    return np.exp(np.array(x) / 2) * rng.normal(size=150)


needs_data = pytest.mark.skipif("FILTERLEARN_DATA" not in os.environ, reason="FILTERLEARN_DATA is unset: GBP/USD file needed")
# the returns, the particles of the small filter and how many times more the large one has
SERIES = [pytest.param(simulated, 100, id="simulated"), pytest.param(gbp_usd, 500, id="gbp_usd", marks=needs_data)]


def estimates(returns, size):
    """Log evidence and filtered mean of x_T of bootstrap particle filters, over `RUNS` keys."""
    step = fl.Discrete(lambda t, x, u: MU + RHO * (x - MU), [[SIGMA**2]])
    seen = fl.DistributionObservation(lambda t, x, u: dist.Normal(0.0, jnp.exp(x / 2)))
    model = fl.StateSpaceModel(fl.Gaussian([MU], SIGMA**2 / (1 - RHO**2)), step, seen)
    data = fl.Dataset(np.arange(float(len(returns))), returns)

    def one(key):
        out = fl.run(fl.ParticleFilter(size), model, data, key=key, save=lambda b, i: (i.log_evidence, b.mean[0])).saved
        return out[0].sum(), out[1][-1]

    return (np.asarray(part) for part in jax.lax.map(one, jax.random.split(jax.random.key(0), RUNS)))


def error(sample):
    """Standard error of a mean."""
    return sample.std(ddof=1) / np.sqrt(len(sample))


@dataclasses.dataclass
class Spread:
    """Variance of a sample, and the relative standard error of that variance from its fourth moment."""

    variance: float
    error: float

    @classmethod
    def of(cls, sample):
        square = (sample - sample.mean()) ** 2
        return cls(square.mean(), error(square) / square.mean())


@pytest.mark.parametrize(("returns", "small"), SERIES)
def test_particle_filters_against_the_grid(returns, small):
    """exp(estimate - exact) has mean 1, and times the error of the filtered mean it has mean 0: both estimates are unbiased,
    so no slack is needed. The variance of the log falls as 1 / N."""
    y = returns()
    terms, means = stochastic_volatility(y, MU, RHO, SIGMA)
    few, _ = estimates(y, small)
    many, last = estimates(y, 8 * small)
    ratio = np.exp(many - terms.sum())
    assert abs(ratio.mean() - 1) < 5 * error(ratio)
    wrong = ratio * (last - means[-1])
    assert abs(wrong.mean()) < 5 * error(wrong)
    # the log of a ratio of variances: eightfold, where 1 / sqrt(N) would give 1.04 and no fall at all 0
    low, high = Spread.of(few), Spread.of(many)
    fall = np.log(low.variance / high.variance)
    print(f"\n{len(y)} returns, N = {small}, {8 * small}: log estimate - exact {few.mean() - terms.sum():+.3f}, ", end="")
    print(
        f"{many.mean() - terms.sum():+.3f}; variances {low.variance:.3f}, {high.variance:.3f}; mean ratio {ratio.mean():.3f}"
    )
    assert abs(fall - np.log(8)) < 5 * np.hypot(low.error, high.error)
    assert 5 * np.hypot(low.error, high.error) < np.log(8) / 2


@needs_data
def test_grid_gives_the_published_numbers():
    y = gbp_usd()
    terms, means = stochastic_volatility(y, MU, RHO, SIGMA)
    assert abs(terms.sum() + 492.4542426) < 5e-8
    assert abs(means[-1] + 1.8344585) < 5e-8
    stated = np.array([-1.74118, 0.23705, 0.64706])
    top = minimize(lambda p: -stochastic_volatility(y, *p)[0].sum(), stated, method="Nelder-Mead", options={"fatol": 1e-9})
    assert abs(top.fun - 477.46244) < 5e-6
    # the top is flat: the stated place is 3e-8 below it, and in each coordinate within 2e-5 of it
    assert 0 <= -stochastic_volatility(y, *stated)[0].sum() - top.fun < 1e-6
    assert np.abs(top.x - stated).max() < 5e-5


def test_grid_is_quadrature_where_returns_are_independent():
    """With rho = 0 returns are independent: each term is one integral, done here by Gauss-Hermite quadrature."""
    y, (nodes, weights) = simulated(), np.polynomial.hermite_e.hermegauss(60)
    x = MU + 0.5 * nodes
    density = np.exp(-0.5 * (np.log(2 * np.pi) + x + y[:, None] ** 2 * np.exp(-x)))
    terms, _ = stochastic_volatility(y, MU, 0.0, 0.5)
    np.testing.assert_allclose(terms, np.log(density @ weights / weights.sum()), atol=1e-12)
