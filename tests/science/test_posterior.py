"""The offline posterior agrees between backends, and its DataTree is one layout."""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest

import filterlearn as fl
from filterlearn import datasets


def nile_family():
    def build(p):
        step = fl.LinearDiscrete([[1.0]], p["level"][None, None] ** 2)
        return fl.StateSpaceModel(fl.Diffuse(1), step, fl.LinearGaussianObservation([[1.0]], p["noise"][None, None] ** 2))

    priors = {"level": dist.LogNormal(3.5, 1.0), "noise": dist.LogNormal(5.0, 1.0)}
    return fl.ModelFamily(build, {name: fl.Parameter(prior) for name, prior in priors.items()})


@pytest.mark.science
def test_both_samplers_match_the_grid():
    family, data = nile_family(), datasets.nile()
    axis = [jnp.linspace(m - 5 * s, m + 4 * s, 60) for m, s in ((3.6, 0.4), (4.82, 0.1))]
    grid = jnp.stack(jnp.meshgrid(*axis, indexing="ij"), -1).reshape(-1, 2)
    log_density = jax.vmap(lambda th: fl.log_evidence(fl.Kalman(), family(th), data) + family.log_prior(th))(grid)
    weights = jax.nn.softmax(log_density)
    exact = weights @ jnp.exp(grid)
    for method in (fl.NUTS(300, 500, 2), fl.NumPyroNUTS(300, 500, 2)):
        tree = fl.fit(family, data, fl.Kalman(), method, key=jax.random.key(0))
        assert tree["log_likelihood"]["y"].dims == ("chain", "draw", "time", "sensor")
        assert set(tree.children) == {"posterior", "sample_stats", "log_likelihood", "observed_data"}
        for k, name in enumerate(("level", "noise")):
            draws = tree["posterior"][name].to_numpy()
            # 1,000 draws with autocorrelation: at least 150 effective
            assert abs(draws.mean() - exact[k]) < 5 * draws.std() / np.sqrt(150)
