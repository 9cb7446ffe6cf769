"""Forgetting: exact in information form, bounded by the prior, the same for members and particles."""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest

import filterlearn as fl
from filterlearn.learners.base import forgotten

KEY, MEMORY = jax.random.key(0), 20.0
PRIOR_MEAN, PRIOR_PRECISION = np.array([1.0, 0.5, -1.0]), np.diag([1.0, 0.25, 4.0])  # of theta = (a, b)


def build(p):
    """y = u'(b, a) + x + e; the state x is autoregressive, and correlates with the parameters."""
    seen = fl.GaussianObservation(lambda t, x, u: (u @ jnp.append(p["b"], p["a"]))[None] + x, 0.25 * jnp.eye(1))
    return fl.StateSpaceModel(fl.Gaussian([0.3], 0.5), fl.LinearDiscrete([[0.9]], [[0.04]]), seen)


def family(a, b):
    prior = dist.Normal(jnp.array([0.5, -1.0]), jnp.array([2.0, 0.5]))
    return fl.ModelFamily(build, {"b": fl.Parameter(prior, b), "a": fl.Parameter(dist.Normal(1.0, 1.0), a)})


def regression(length=60, excited=3):
    """Irregular times; inputs beyond `excited` are zero."""
    rng = np.random.default_rng(3)
    inputs = rng.normal(size=(length, 3)) * (np.arange(3) < excited)
    times = np.cumsum(rng.uniform(0.2, 3.0, length))
    return fl.Dataset(times, inputs @ np.array([1.0, -1.5, 0.4]) + 0.5 * rng.normal(size=length), inputs)


def mixed(mean, precision, powers):
    """theta's law after forgetting, by plain inverses: p(a | b) mixed with the prior where b stays (power None)."""
    f = np.array([power is not None for power in powers])
    root = np.diag([np.sqrt(1.0 if power is None else power) for power in powers])
    away = (np.eye(3) - root**2) @ PRIOR_PRECISION
    new = root @ precision @ root + away
    if not f.all():  # the Schur complement of a, the precision of b, is what it was
        old = precision[np.ix_(~f, ~f)] - precision[np.ix_(~f, f)] @ np.linalg.solve(
            precision[np.ix_(f, f)], precision[np.ix_(f, ~f)]
        )
        power = powers[0]
        new[np.ix_(f, ~f)] = power * precision[np.ix_(f, ~f)]
        new[np.ix_(~f, f)] = new[np.ix_(f, ~f)].T
        new[np.ix_(~f, ~f)] = old + new[np.ix_(~f, f)] @ np.linalg.solve(new[np.ix_(f, f)], new[np.ix_(f, ~f)])
        # a - m given b = m_b, pulled to the prior's mean
        after = mean.copy()
        after[f] += np.linalg.solve(new[np.ix_(f, f)], away[np.ix_(f, f)] @ (PRIOR_MEAN[f] - mean[f]))
        return after, new
    return np.linalg.solve(new, root @ precision @ root @ mean + away @ PRIOR_MEAN), new


def by_information(data, powers, walk=0.0):
    """The whole recursion in information form: (mean, covariance) of (x, a, b) after each datum."""
    h = np.c_[np.ones(len(data)), np.asarray(data.inputs)[:, [2, 0, 1]]]
    mean, p = np.concatenate([[0.3], PRIOR_MEAN]), np.diag([0.5, 1.0, 4.0, 0.25])
    out, clock = [], None
    for k, t in enumerate(np.asarray(data.times)):
        if clock is not None:
            old = np.linalg.inv(p[1:, 1:])
            new, precision = mixed(mean[1:], old, powers(t - clock))
            joint, slope = np.linalg.inv(p), p[:1, 1:] @ old
            joint[1:, 1:] += precision - old  # p(x | theta) is kept
            f = np.diag([0.9, 1, 1, 1])
            mean = f @ np.concatenate([mean[:1] + slope @ (new - mean[1:]), new])
            moved = walk**2 * (t - clock)
            p = f @ np.linalg.inv(joint) @ f.T + np.diag([0.04, 0, moved, moved])
        clock = t
        precision = np.linalg.inv(p) + np.outer(h[k], h[k]) / 0.25
        mean = np.linalg.solve(precision, np.linalg.solve(p, mean) + h[k] * float(data.values[k, 0]) / 0.25)
        p = np.linalg.inv(precision)
        out.append((mean, p))
    return [np.array(part) for part in zip(*out, strict=True)]


@pytest.mark.parametrize(
    ("b", "memory", "walk"),
    [(fl.Forgetting(MEMORY), MEMORY, 0.0), (fl.Forgetting(5.0), 5.0, 0.0), (fl.RandomWalk(0.1), None, 0.1)],
    ids=["one memory", "two memories", "one forgets, one walks"],
)
def test_precisions_mix_exactly(b, memory, walk):
    """1e-9: sixty steps of 4 x 4 inverses of condition 1e3."""
    data = regression()

    def powers(gap):
        rest = None if memory is None else np.exp(-gap / memory)
        return [np.exp(-gap / MEMORY), rest, rest]

    mean, covariance = by_information(data, powers, walk)
    beliefs = fl.run(fl.Joint(fl.ExtendedKalman()), family(fl.Forgetting(MEMORY), b), data).beliefs.stacked
    np.testing.assert_allclose(beliefs.mean, mean, atol=1e-9)
    np.testing.assert_allclose(beliefs.covariance, covariance, atol=1e-9)


def test_an_unexcited_direction_returns_to_the_prior_and_never_beyond():
    """a is excited for 30 data and then left alone: its precision's excess over the prior's decays as exp(-t / memory)."""
    data = regression(90)
    inputs = data.inputs.at[30:, 2].set(0.0)
    data = fl.Dataset(data.times, data.values, inputs)
    both = fl.ModelFamily(
        lambda p: fl.StateSpaceModel(
            fl.Gaussian([0.0], 0.0),
            fl.LinearDiscrete([[0.0]], [[0.0]]),
            fl.GaussianObservation(lambda t, x, u: (u @ p["w"])[None] + 0 * x, 0.25 * jnp.eye(1)),
        ),
        {"w": fl.Parameter(dist.Normal(jnp.zeros(3), jnp.array([1.0, 1.0, 2.0])), fl.Forgetting(MEMORY))},
    )
    beliefs = fl.run(fl.Joint(fl.ExtendedKalman()), both, data).beliefs.stacked
    excess = np.linalg.inv(beliefs.covariance[29:, 1:, 1:])[:, 2, 2] - 0.25
    expected = excess[0] * np.exp(-(data.times[29:] - data.times[29]) / MEMORY)
    np.testing.assert_allclose(excess, expected, rtol=1e-8)
    variances = jax.vmap(jnp.diagonal)(beliefs.covariance)[:, 1:]
    assert (variances <= np.array([1.0, 1.0, 4.0]) * (1 + 1e-12)).all()
    # five memories without data: within exp(-5) of the prior's precision, and far away the prior itself
    learner = fl.Joint(fl.ExtendedKalman())
    last = jax.tree.map(lambda leaf: leaf[-1], fl.run(learner, both, data).beliefs)
    ahead = learner.predict(both, last, last.time + 1e6).stacked
    np.testing.assert_allclose(ahead.mean[1:], 0.0, atol=1e-12)
    np.testing.assert_allclose(ahead.covariance[1:, 1:], np.diag([1.0, 1.0, 4.0]), atol=1e-10)


def samples(kind):
    """A correlated sample of (x, a, b), with weights for particles."""
    first, second = jax.random.split(jax.random.key(1))
    points = jax.random.normal(first, (200, 4)) @ jax.random.normal(second, (4, 4)) + jnp.arange(4.0)
    if kind is fl.Ensemble:
        return fl.Ensemble(points, jnp.asarray(2.0))
    return fl.Particles(points, jax.nn.log_softmax(points[:, 0]), jnp.asarray(2.0))


@pytest.mark.parametrize("kind", [fl.Ensemble, fl.Particles])
@pytest.mark.parametrize("b", [fl.Forgetting(MEMORY), fl.Static()], ids=["all", "some"])
def test_samples_take_the_gaussian_moments(kind, b):
    """A sample gets the mean and covariance of the Gaussian with its moments: members to rounding, particles, which draw a
    part afresh, on average over 2,000 keys within five standard errors."""
    both, sample = family(fl.Forgetting(MEMORY), b), samples(kind)
    exact = forgotten(both, fl.Gaussian(sample.mean, sample.covariance, 2.0), jnp.asarray(9.0))
    afters = jax.vmap(lambda key: forgotten(both, sample, jnp.asarray(9.0), key=key))(jax.random.split(KEY, 2000))
    for one in ("mean", "covariance"):
        draws = jax.vmap(lambda belief, one=one: getattr(belief, one))(afters)
        # a mean of weighted draws is subtracted from their covariance: it is low by at most 1 / ESS of itself
        allowed = 5 * draws.std(0) / np.sqrt(2000) + 1e-10
        allowed += abs(exact.covariance).max() / sample.ess if kind is fl.Particles and one == "covariance" else 0.0
        assert (abs(draws.mean(0) - getattr(exact, one)) < allowed).all()
    assert abs(exact.covariance - sample.covariance).max() > 0.1
    same = forgotten(both, sample, jnp.asarray(2.0), key=KEY)
    assert all((x == y).all() for x, y in zip(jax.tree.leaves(sample), jax.tree.leaves(same), strict=True))


def test_a_small_ensemble_and_a_known_direction_stay_finite():
    """Three members in four dimensions, and no spread at all: nothing is inverted that is singular, gradients are finite."""
    both = family(fl.Forgetting(MEMORY), fl.Forgetting(MEMORY))
    few = fl.Ensemble(samples(fl.Ensemble).members[:3], jnp.asarray(2.0))
    point = fl.Ensemble(jnp.ones((3, 4)), jnp.asarray(2.0))
    for sample in (few, point):
        exact = forgotten(both, fl.Gaussian(sample.mean, sample.covariance, 2.0), jnp.asarray(9.0))
        np.testing.assert_allclose(
            forgotten(both, sample, jnp.asarray(9.0), key=KEY).covariance, exact.covariance, atol=1e-10
        )
        for gap in (0.0, 7.0):
            slope = jax.grad(lambda t, sample=sample: forgotten(both, sample, t, key=KEY).members.sum())(2.0 + gap)
            assert jnp.isfinite(slope)


@pytest.mark.parametrize(
    ("learner", "allowed"),
    [
        # relative error of a mean over the exact sd: five standard errors of N = 2,000 members, and of the ESS of particles
        (fl.Joint(fl.EnsembleKalman(2000)), 5 / np.sqrt(2000)),
        (fl.Joint(fl.ParticleFilter(20_000)), 5 / np.sqrt(2000)),
        (fl.Nested(fl.ExtendedKalman(), 4000, move=None), 5 / np.sqrt(400)),
    ],
    ids=["ensemble", "particle", "nested"],
)
def test_learners_follow_the_exact_one(learner, allowed):
    data, both = regression(40), family(fl.Forgetting(MEMORY), fl.Forgetting(MEMORY))
    save = lambda belief, info: (belief.parameters.mean, jnp.diagonal(belief.parameters.covariance))  # noqa: E731
    exact, variance = fl.run(fl.Joint(fl.ExtendedKalman()), both, data, save=save).saved
    mean, spread = fl.run(learner, both, data, key=KEY, save=save).saved
    error = jnp.sqrt(jnp.mean((mean - exact)[20:] ** 2 / variance[20:]))
    assert error < allowed, error
    ratio = jnp.mean(spread[20:] / variance[20:])
    assert abs(ratio - 1) < allowed * np.sqrt(2), ratio
