"""F1 on A1: every sampler draws from the posterior that a grid of the exact evidence gives."""

import arviz as az
import jax
import jax.numpy as jnp
import numpyro.distributions as dist
import pytest

import filterlearn as fl
from filterlearn import datasets


def nile_family(start):
    def build(p):
        step = fl.LinearDiscrete([[1.0]], p["level"][None, None] ** 2)
        return fl.StateSpaceModel(start, step, fl.LinearGaussianObservation([[1.0]], p["noise"][None, None] ** 2))

    priors = {"level": dist.LogNormal(3.5, 1.0), "noise": dist.LogNormal(5.0, 1.0)}
    return fl.ModelFamily(build, {name: fl.Parameter(prior) for name, prior in priors.items()})


@pytest.mark.science
@pytest.mark.parametrize(
    ("method", "algorithm", "start"),
    [
        (fl.NUTS(500, 1000, 4), fl.Kalman(), fl.Diffuse(1)),
        (fl.NumPyroNUTS(500, 1000, 4), fl.Kalman(), fl.Diffuse(1)),
        (fl.ParticleMCMC(1000, 4000, 4), fl.ParticleFilter(200), fl.Gaussian([1120.0], 1e4)),
        (fl.ParticleGibbs(500, 10000, 4), fl.ParticleFilter(30), fl.Gaussian([1120.0], 1e4)),
    ],
    ids=["nuts", "numpyro", "particle", "gibbs"],
)
def test_the_sampler_matches_the_grid(method, algorithm, start):
    """F1: mean and sd of each parameter within 5 Monte Carlo errors of the exact evidence's grid."""
    family, data = nile_family(start), datasets.nile()
    axis = [jnp.linspace(m - 6 * s, m + 5 * s, 100) for m, s in ((3.6, 0.4), (4.82, 0.1))]
    grid = jnp.stack(jnp.meshgrid(*axis, indexing="ij"), -1).reshape(-1, 2)
    log_density = jax.vmap(lambda th: fl.log_evidence(fl.Kalman(), family(th), data) + family.log_prior(th))(grid)
    weights, values = jax.nn.softmax(log_density), jax.vmap(family.constrain)(grid)
    tree = fl.fit(family, data, algorithm, method, key=jax.random.key(0))
    draws = tree["posterior"].to_dataset()
    for name in family.names:
        mean = weights @ values[name]
        sd = jnp.sqrt(weights @ (values[name] - mean) ** 2)
        assert abs(float(draws[name].mean()) - mean) < 5 * float(az.mcse(draws, method="mean")[name])
        assert abs(float(draws[name].std()) - sd) < 5 * float(az.mcse(draws, method="sd")[name])
        assert float(az.rhat(draws)[name]) < 1.01
