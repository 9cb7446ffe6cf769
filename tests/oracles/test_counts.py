"""A11: Poisson counts of a latent linear SDE, against a grid."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest

import filterlearn as fl

AXIS = jnp.linspace(-5.0, 6.0, 1201)
RATE, SPREAD = 0.5, 0.7


def model(observation=None):
    counts = fl.DistributionObservation(lambda t, x, u: dist.Poisson(jnp.exp(x)))
    return fl.StateSpaceModel(fl.Gaussian([0.5], 0.5, time=0.0), fl.LinearSDE([[-RATE]], [SPREAD]), observation or counts)


def series(length=80):
    times = jnp.cumsum(jax.random.uniform(jax.random.key(0), (length,), minval=0.1, maxval=0.9))
    values = fl.simulate(model(), times, key=jax.random.key(1))[1]
    return fl.Dataset(times, values.at[10].set(jnp.nan))


@jax.jit
def grid(data):
    """Filtered means, standard deviations and log evidence increments; the step of the axis is .009, sds are above .2."""
    step, known = AXIS[1] - AXIS[0], model()

    def one(weights, each):
        before, t, y = each
        a, b, q = known.transition.discretise(before, t)
        kernel = jnp.exp(-0.5 * (AXIS[:, None] - a[0, 0] * AXIS[None, :] - b[0]) ** 2 / q[0, 0]) / jnp.sqrt(
            2 * jnp.pi * q[0, 0]
        )
        weights = kernel @ weights * step
        weights = weights * jnp.exp(jax.vmap(lambda x: known.observation.log_prob(y, x[None], t))(AXIS))
        total = jnp.sum(weights)
        mean = weights @ AXIS / total
        return weights / total, (mean, jnp.sqrt(weights @ (AXIS - mean) ** 2 / total), jnp.log(total))

    start = jnp.exp(-0.5 * (AXIS - 0.5) ** 2 / 0.5)
    before = jnp.concatenate([jnp.zeros(1), data.times[:-1]])
    return jax.lax.scan(one, start / jnp.sum(start), (before, data.times, data.values))[1]


def updated(algorithm, known, y):
    """Belief and Info after one datum."""
    return eqx.filter_jit(lambda: algorithm.update(known, algorithm.init(known), fl.Datum(0.0, [y])))()


def test_counts_against_the_grid():
    """Means within .05 posterior sd, sds within 5 %, and the whole bound a little below the exact evidence."""
    data = series()
    mean, sd, evidence = grid(data)
    out = fl.run(fl.VariationalFilter(fl.Kalman(), fl.GaussHermite(9)), model(), data)
    assert (abs(out.mean[:, 0] - mean) < 0.05 * sd).all()
    np.testing.assert_allclose(jnp.sqrt(out.covariance[:, 0, 0]), sd, rtol=0.05)
    gap = float(np.sum(evidence) - np.sum(out.log_evidence))
    print(f"exact evidence less bound: {gap:.3f} nats over {len(data)} counts")
    assert 0 < gap < 1


def test_particles_against_the_grid():
    """exp(estimate - exact) has mean 1, and times the error of the last mean mean 0: 400 keys, five standard errors."""
    data = series(40)
    mean, _, evidence = grid(data)

    def one(key):
        terms, means = fl.run(
            fl.ParticleFilter(200), model(), data, key=key, save=lambda b, i: (i.log_evidence, b.mean)
        ).saved
        return jnp.sum(terms), means[-1, 0]

    estimates, last = jax.lax.map(one, jax.random.split(jax.random.key(2), 400), batch_size=50)
    ratio = np.exp(np.asarray(estimates) - np.sum(evidence))
    for sample in (ratio - 1, ratio * np.asarray(last - mean[-1])):
        error = sample.std(ddof=1) / 20
        assert abs(sample.mean()) < 5 * error < 0.2


def test_the_bound_is_below_the_evidence_and_rises():
    """One datum, the prior exactly Gaussian: a fine Gauss-Hermite rule gives log p(y)."""
    points, weights, _ = fl.GaussHermite(60).points(1, jnp.zeros(()).dtype)
    students = fl.DistributionObservation(lambda t, x, u: dist.StudentT(2.5, x, 0.3))
    for seen, y in ((None, 4.0), (None, 0.0), (students, 4.0)):
        known, bounds = model(seen), []
        for iterations in (1, 2, 8, 30):
            algorithm = fl.VariationalFilter(fl.Kalman(), fl.GaussHermite(30), iterations)
            bounds.append(updated(algorithm, known, y)[1].log_evidence)
        states = 0.5 + 0.5**0.5 * points
        levels = jax.vmap(lambda x, y=y, known=known: known.observation.log_prob(jnp.array([y]), x, 0.0))(states)
        exact = jax.scipy.special.logsumexp(levels, b=weights)
        assert (np.diff(bounds) >= -1e-12).all()
        assert exact - 0.2 < bounds[-1] < exact
    assert bounds[-1] - bounds[-2] < 1e-3


def test_stochastic_volatility_moves_by_its_evidence():
    """Squares of returns say how wide the state's law is: seen through exp, which no linear filter reads."""
    seen = fl.DistributionObservation(lambda t, x, u: dist.Normal(0.0, jnp.exp(x / 2)))
    known = model(seen)
    algorithm = fl.VariationalFilter(fl.Kalman(), fl.GaussHermite(15), 20)
    quiet, loud = (updated(algorithm, known, y)[0] for y in (0.01, 5.0))
    assert quiet.mean[0] < 0.5 < loud.mean[0]


@pytest.mark.parametrize("predictor", [fl.Kalman(), fl.ExtendedKalman(), fl.SigmaPoint()])
def test_every_gaussian_filter_predicts(predictor):
    data = series(20)
    base = fl.run(fl.VariationalFilter(fl.Kalman()), model(), data)
    np.testing.assert_allclose(fl.run(fl.VariationalFilter(predictor), model(), data).mean, base.mean, atol=1e-9)


def test_what_cannot_be_predicted_is_refused():
    bent = fl.StateSpaceModel(fl.Gaussian([0.0], 1.0), fl.Discrete(lambda t, x, u: jnp.sin(x), [[0.1]]), model().observation)
    with pytest.raises(TypeError, match="transition: Kalman needs a linear one"):
        fl.VariationalFilter(fl.Kalman()).init(bent)
    with pytest.raises(TypeError, match="predictor"):
        fl.VariationalFilter(None)
