"""Calibration passes what is exact, and says of what is not how it is wrong."""

import warnings

import arviz as az
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest

import filterlearn as fl
from filterlearn.posteriors.base import AbstractMethod, Drawn
from tests.cases import hidden_family, walking

TIMES = np.arange(1.0, 6.0)
NOISE = 0.5


def build(p):
    """y = mean + e, and no state to speak of."""
    still = fl.LinearDiscrete([[0.0]], [[0.0]])
    seen = fl.LinearGaussianObservation([[0.0]], [[NOISE]], p["mean"][None])
    return fl.StateSpaceModel(fl.Gaussian([0.0], 0.0, time=0.0), still, seen)


FAMILY = fl.ModelFamily(build, {"mean": fl.Parameter(dist.Normal(0.0, 1.0))})


def conjugate(method, target, key):
    """Draws of N(sum y / (n + noise), noise / (n + noise)), stretched and shifted."""
    y = target.data.values
    variance = NOISE / (len(y) + NOISE)
    sd, mean = variance**0.5, variance * jnp.sum(y) / NOISE
    return mean, mean + sd * (method.shift + method.stretch * jax.random.normal(key, (1, 99, 1)))


class Exact(AbstractMethod):
    stretch: float = 1.0
    shift: float = 0.0
    chains: int = eqx.field(static=True, default=1)

    def draw(self, target, start, scale, *, key):
        return Drawn(conjugate(self, target, key)[1], {})


class Looking(AbstractMethod):
    """The same, but it looks at a number, and complains."""

    stretch: float = 1.0
    shift: float = 0.0
    chains: int = eqx.field(static=True, default=1)

    def draw(self, target, start, scale, *, key):
        mean, draws = conjugate(self, target, key)
        if np.asarray(mean) > 1:
            warnings.warn("the mean is high", stacklevel=2)
        return Drawn(draws, {})


def calibrated(method, **given):
    return fl.calibrate(FAMILY, TIMES, fl.Kalman(), method, key=jax.random.key(0), **given)


@pytest.mark.parametrize(
    ("method", "word"),
    [(Exact(), None), (Exact(0.6), "narrow"), (Exact(1.6), "wide"), (Exact(1.0, 0.5), "high"), (Exact(1.0, -0.5), "low")],
)
def test_ranks_are_uniform_where_the_draws_are_exact_and_only_there(method, word):
    found = calibrated(method)
    assert found.uniform == (word is None)
    assert word is None or f"too {word}" in found.words[0]
    assert found.notes == ()


def test_coverage_is_that_of_the_order_statistics():
    """Of exact draws the binomial; of draws of half the spread that of a normal between its own quantiles."""
    for stretch in (1.0, 0.5):
        found = calibrated(Exact(stretch), replicates=1000).coverage(0.9)["mean"]
        wanted = float(jax.scipy.special.erf(1.6449 * stretch / 2**0.5))
        # the order statistics of 99 draws move the ends by .2 sd
        assert abs(found - wanted) < 5 * (wanted * (1 - wanted) / 1000) ** 0.5 + 0.01


def test_a_method_that_looks_at_numbers_runs_in_one_world_after_another():
    found, again = calibrated(Looking(), replicates=30), calibrated(Exact(), replicates=30)
    np.testing.assert_array_equal(found.ranks["mean"], again.ranks["mean"])
    assert "warnings, the first: the mean is high" in found.notes[0]


def test_a_wrong_world_is_found_out_and_arviz_draws_it():
    def louder(p):
        return eqx.tree_at(lambda m: m.observation.covariance, build(p), jnp.array([[8.0 * NOISE]]))

    found = calibrated(Exact(), truth=fl.ModelFamily(louder, FAMILY.parameters))
    assert "too narrow" in found.words[0]
    assert found.tree()["prior_sbc"]["mean"].shape == (1, 200)
    assert az.plot_ecdf_pit(found.tree()) is not None
    assert [row[0] for row in found.table("Means").rows] == ["mean"]


class FromPrior(AbstractMethod):
    """Draws that have seen nothing; uniform too."""

    chains: int = eqx.field(static=True, default=1)

    def draw(self, target, start, scale, *, key):
        return Drawn(target.sampled.sample_prior(99, key=key)[None], {})


def test_under_a_learner_the_static_parameters_are_ranked():
    """Beside one that moves, before it in theta: a wrong column would be off by its prior's mean."""

    def both(p):
        return build({"mean": p["drift"] + p["mean"]})

    priors = {"drift": fl.Parameter(dist.Normal(3.0, 1.0), fl.RandomWalk(1.0)), "mean": FAMILY.parameters["mean"]}
    found = fl.calibrate(
        fl.ModelFamily(both, priors), TIMES, fl.Joint(fl.ExtendedKalman()), FromPrior(), key=jax.random.key(0)
    )
    assert list(found.ranks) == ["mean"]
    assert found.uniform


def test_what_cannot_be_calibrated_is_refused():
    moving = fl.ModelFamily(build, {"mean": fl.Parameter(dist.Normal(0.0, 1.0), fl.RandomWalk(0.1))})
    with pytest.raises(ValueError, match="give a learner"):
        fl.calibrate(moving, TIMES, fl.Kalman(), Exact(), key=jax.random.key(0))
    with pytest.raises(ValueError, match="draws: the method makes 99, fewer than the 100"):
        calibrated(Exact(), draws=100, replicates=2)
    other = fl.ModelFamily(lambda p: build({"mean": p["level"]}), {"level": FAMILY.parameters["mean"]})
    with pytest.raises(ValueError, match="truth: the parameters"):
        calibrated(Exact(), truth=other)


def test_an_exact_learner_is_calibrated_at_every_time_and_a_wrong_world_is_found_out():
    """A level and a moving regression, linear together; then coefficients that move three times as fast as is believed."""
    family, learner, times = hidden_family(), fl.Joint(fl.ExtendedKalman()), np.arange(1.0, 21.0) / 2
    given = {"at": (1, 20), "inputs": np.random.default_rng(0).normal(size=(20, 2)), "worlds": 400}
    found = fl.calibrate_stream(learner, family, times, key=jax.random.key(0), **given)
    assert list(found.ranks) == [f"{name} at {k}" for k in (1, 20) for name in ("x[0]", "theta[0]", "theta[1]")]
    assert found.uniform
    assert all(abs(each - 0.9) < 5 * (0.9 * 0.1 / 400) ** 0.5 for each in found.coverage(0.9).values())
    wrong = fl.calibrate_stream(
        learner, family, times, truth=walking(family, jnp.asarray(0.9)), key=jax.random.key(0), **given
    )
    assert {"theta[0] at 20", "theta[1] at 20"} <= {line.split(":")[0] for line in wrong.words if "too narrow" in line}
    with pytest.raises(ValueError, match="at: numbers of data from 1 to 20"):
        fl.calibrate_stream(learner, family, times, key=jax.random.key(0), **(given | {"at": (0, 20)}))
