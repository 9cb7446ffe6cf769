"""The Nile, 1871-1960: two scales learned, the level smoothed, the ten years after forecast, all on one page.

    x' = x + level e,   y = x + noise v,   x_1871 ~ N(1000, 1000^2),   level ~ LogNormal(3.5, 1), noise ~ LogNormal(4.5, 1),

the local level model (Cobb 1978, doi:10.1093/biomet/65.2.243; Durbin & Koopman 2012, ISBN 9780199641178) by NUTS over the
Kalman filter's evidence. Score: mean and sd of the level in 1871 and 1900, and of the flows of 1961 and 1970, less those by
quadrature over both scales, in Monte Carlo errors, below 5; and how many of the ten flows to come their 90 % bands hold.

    python examples/nile_forecast.py [page.html]
"""

import functools
import sys

import arviz as az
import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import xarray as xr

import filterlearn as fl
from filterlearn.datasets import nile
from filterlearn.diagnostics.report import page

AHEAD = np.arange(1961.0, 1971.0)
KALMAN = fl.Kalman()


def build(p):
    """Values of the two scales -> the model."""
    step = fl.LinearDiscrete([[1.0]], p["level"][None, None] ** 2)
    seen = fl.LinearGaussianObservation([[1.0]], p["noise"][None, None] ** 2)
    return fl.StateSpaceModel(fl.Gaussian([1000.0], 1e6), step, seen)


@functools.cache
def family():
    """The two scales and their priors."""
    level, noise = (fl.Parameter(dist.LogNormal(centre, 1.0)) for centre in (3.5, 4.5))
    return fl.ModelFamily(build, {"level": level, "noise": noise})


def fitted(seed=0, method=None):
    """The DataTree of the first 90 years, with paths and the ten years to come, and all 100 years."""
    whole = nile()
    data, keys = whole[:90], jax.random.split(jax.random.key(seed), 3)
    tree = fl.fit(family(), data, KALMAN, method or fl.NUTS(500, 1000, 4), key=keys[0])
    tree = fl.with_paths(tree, family(), data, KALMAN, fl.GaussianPaths(KALMAN, 1), draws=1000, key=keys[1])
    return fl.with_predictions(tree, family(), data, KALMAN, AHEAD, draws=1000, key=keys[2]), whole


@jax.jit
def _moments(theta, data):
    """log density, and mean and variance given theta of the level in 1871 and 1900 and of the flows of 1961 and 1970."""
    problem, (level, noise) = family()(theta), jnp.exp(theta)
    trajectory = fl.run(KALMAN, problem, data)
    smoothed = fl.smooth(fl.RauchTungStriebel(KALMAN), problem, trajectory)
    mean, variance = smoothed.mean[:, 0], smoothed.covariance[:, 0, 0]
    ahead = variance[-1] + level**2 * jnp.array([1.0, 10.0]) + noise**2
    some = jnp.array([0, 29])
    means, variances = jnp.concatenate([mean[some], jnp.tile(mean[-1], 2)]), jnp.concatenate([variance[some], ahead])
    return trajectory.log_evidence.sum() + family().log_prior(theta), means, variances


def by_quadrature(data):
    """Means and sds of the four, over 60 x 60 points of the logarithms of the scales."""
    grid = jnp.stack(jnp.meshgrid(jnp.linspace(0.5, 5.5, 60), jnp.linspace(4.0, 5.4, 60), indexing="ij"), -1).reshape(-1, 2)
    level, mean, variance = jax.lax.map(lambda theta: _moments(theta, data), grid, batch_size=60)
    weights = jax.nn.softmax(level)
    centre = weights @ mean
    return np.asarray(centre), np.sqrt(weights @ (variance + (mean - centre) ** 2))


def scores(tree, whole):
    """Monte Carlo errors by which the four means and sds miss the quadrature, and how many flows are inside their bands."""
    picked = [tree["paths"]["x"][:, :, k, 0] for k in (0, 29)] + [tree["predictions"]["y"][:, :, k, 0] for k in (0, 9)]
    some = xr.Dataset({str(i): each.drop_vars(("time", "state", "sensor"), errors="ignore") for i, each in enumerate(picked)})
    misses = []
    for kind, exact in zip(("mean", "sd"), by_quadrature(whole[:90]), strict=True):
        found, error = getattr(some, "std" if kind == "sd" else kind)(), az.mcse(some, method=kind)
        misses += [float((found[name] - exact[int(name)]) / error[name]) for name in some]
    low, high = tree["predictions"]["y"][..., 0].quantile([0.05, 0.95], ("chain", "draw")).to_numpy()
    flows = np.asarray(whole.values[90:, 0])
    return misses, int(((low < flows) & (flows < high)).sum())


def main(path=None):
    """Prints the score, and writes the page."""
    tree, whole = fitted()
    misses, inside = scores(tree, whole)
    print("Monte Carlo errors from the quadrature:", np.round(misses, 2), "; flows inside their 90 % bands:", inside, "of 10")
    if path:
        with open(path, "w", encoding="utf-8") as file:
            file.write(page(tree, "The Nile, 1871-1960"))


if __name__ == "__main__":
    jax.config.update("jax_enable_x64", True)
    main(*sys.argv[1:])
