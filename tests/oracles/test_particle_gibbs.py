"""Particle Gibbs where the state's noise is singular, two data share a time, one is late, and the start depends on theta."""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest

import filterlearn as fl
from filterlearn.posteriors.base import Target
from filterlearn.posteriors.latent_path import Steps, driven, renewed, simulated
from tests.laws.test_posteriors import assert_matches

TIMES = np.array([-0.5, 0.0, 1.0, 2.0, 2.0, 3.5, 4.0, 5.0, 6.5, 7.0, 8.0])


def build(p):
    """A level whose slope wanders: noise moves the slope alone, and the level by a share that theta sets."""
    scale = p["scale"]
    noise = scale**2 * jnp.outer(jnp.array([0.5, 1.0]), jnp.array([0.5, 1.0]))
    start = fl.Gaussian(jnp.stack([scale, jnp.zeros_like(scale)]), jnp.diag(jnp.array([0.5, 0.0])), time=0.0)
    step = fl.LinearDiscrete([[1.0, 0.7], [0.0, 0.8]], noise)
    return fl.StateSpaceModel(start, step, fl.LinearGaussianObservation([[1.0, 0.0]], [[0.3]]))


FAMILY = fl.ModelFamily(build, {"scale": fl.Parameter(dist.LogNormal(-0.5, 0.7))})
THETA = jnp.array([-0.4])
GAPS = np.linspace(0.3, 1.2, 10)  # that all differ: each row carries its discretisation
SEEN = fl.LinearGaussianObservation([[1.0]], [[0.3]])


def series():
    values = 0.6 + np.sin(TIMES)[:, None]
    values[6] = np.nan
    return fl.Dataset(TIMES, values)


def target(size=10):
    return Target(FAMILY, fl.ParticleFilter(size), series(), jax.random.key(0))


def test_the_path_keeps_the_law_of_the_smoother():
    """200 chains of ten particles: means and variances at each datum within 5 standard errors of the exact ones."""
    steps = lambda: Steps.of(target(), THETA)  # noqa: E731

    def chain(key):
        def sweep(path, k):
            new = renewed(steps(), path, 10, k)
            return new, new

        first, second = jax.random.split(key)
        paths = jax.lax.scan(sweep, simulated(steps(), first), jax.random.split(second, 300))[1][100:, 1:]
        return paths.mean(0), (paths**2).mean(0)

    found = jax.jit(jax.vmap(chain))(jax.random.split(jax.random.key(1), 200))
    model = FAMILY(THETA)
    exact = fl.smooth(fl.RauchTungStriebel(fl.Kalman()), model, fl.run(fl.Kalman(), model, series())).beliefs
    square = exact.mean**2 + jnp.diagonal(exact.covariance, axis1=1, axis2=2)
    for each, wanted in zip(found, (exact.mean, square), strict=True):
        error = each.std(axis=0) / 200**0.5
        assert (np.abs(each.mean(axis=0) - wanted) < 5 * error + 1e-12).all()
        assert (error < 0.05).all()


def test_the_same_normals_drive_a_path_back():
    there, here = (Steps.of(target(), theta) for theta in (THETA + 1.0, THETA))
    path = simulated(here, jax.random.key(2))
    moved = driven(here, path, there)
    assert np.abs(moved - path).max() > 0.5
    np.testing.assert_allclose(driven(there, moved, here), path, atol=1e-12)


def test_the_same_normals_drive_the_steps_of_an_equation():
    """Each theta has the discretisation of its own: of dx = -rate x dt + dW, x' = a x + s z."""

    def build(p):
        return fl.StateSpaceModel(fl.Gaussian([0.0], 1.0, time=-0.5), fl.LinearSDE(-p["rate"][None, None], [[1.0]]), SEEN)

    family = fl.ModelFamily(build, {"rate": fl.Parameter(dist.LogNormal(0.0, 1.0))})
    data = fl.Dataset(np.cumsum(GAPS) - 0.5, np.zeros(len(GAPS)))
    here, there = (Steps.of(Target(family, fl.ParticleFilter(5), data), theta) for theta in (THETA, THETA + 1.0))
    path = simulated(here, jax.random.key(2))
    (a, s), (b, r) = (_step(np.exp(theta[0]), GAPS) for theta in (THETA, THETA + 1.0))
    wanted = [path[0, 0]]
    for k, z in enumerate((path[1:, 0] - a * path[:-1, 0]) / s):
        wanted.append(b[k] * wanted[-1] + r[k] * z)
    np.testing.assert_allclose(driven(here, path, there)[:, 0], wanted, atol=1e-12)


def _step(rate, gap):
    """(a, s) of an Ornstein-Uhlenbeck process over a gap."""
    return np.exp(-rate * gap), np.sqrt((1 - np.exp(-2 * rate * gap)) / (2 * rate))


def test_a_singular_noise_is_learned():
    grid = jnp.linspace(-3.0, 2.5, 400)
    level = jax.vmap(lambda th: fl.log_evidence(fl.Kalman(), FAMILY(th[None]), series()) + FAMILY.log_prior(th[None]))(grid)
    weights, scale = jax.nn.softmax(level), jnp.exp(grid)
    mean = weights @ scale
    tree = fl.fit(FAMILY, series(), fl.ParticleFilter(20), fl.ParticleGibbs(300, 1200, 2), key=jax.random.key(0))
    assert_matches(tree, {"scale": mean}, {"scale": jnp.sqrt(weights @ (scale - mean) ** 2)})


@pytest.mark.parametrize(
    ("algorithm", "match"),
    [
        (fl.Kalman(), "algorithm: ParticleGibbs needs a ParticleFilter, got Kalman"),
        (fl.Joint(fl.ParticleFilter(10)), "algorithm: ParticleGibbs needs a ParticleFilter, got Joint"),
        (fl.ParticleFilter(10, proposal=fl.Guided()), r"proposal: ParticleGibbs needs Bootstrap\(\), got Guided"),
    ],
)
def test_what_has_no_path_is_refused(algorithm, match):
    given = target()
    object.__setattr__(given, "algorithm", algorithm)
    with pytest.raises(TypeError, match=match):
        fl.ParticleGibbs().draw(given, THETA[None], jnp.ones(1), key=jax.random.key(0))


def test_more_than_one_substep_is_refused():
    def build(p):
        sde = fl.SDE(lambda t, x, u: -p["rate"] * x, jnp.array([1.0]))
        seen = fl.LinearGaussianObservation([[1.0]], [[0.05]])
        return fl.StateSpaceModel(fl.Gaussian([0.0], 0.1, time=0.0), fl.EulerMaruyama(sde, steps=2), seen)

    family = fl.ModelFamily(build, {"rate": fl.Parameter(dist.LogNormal(0.0, 1.0))})
    with pytest.raises(TypeError, match="transition: ParticleGibbs needs one substep of Gaussian law"):
        fl.fit(family, series(), fl.ParticleFilter(10), fl.ParticleGibbs(), key=jax.random.key(0))
