"""A fit in another process comes back between two data, and each datum counts once."""

import asyncio
import time

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest

import filterlearn as fl
from filterlearn.streams.refit import with_parameters
from tests.cases import linear_model

KEY = jax.random.key(4)


def family():
    def build(p):
        return eqx.tree_at(lambda m: m.initial.mean, linear_model(), jnp.array([p["shift"], p["slope"]]))

    still = {name: fl.Parameter(dist.Normal(0.0, 1.0)) for name in ("shift", "slope")}
    return fl.ModelFamily(build, still)


def fitted(times, values, inputs):
    """In the other process: draws that tell what it was given."""
    assert inputs is None
    return np.random.default_rng(len(times)).normal(size=(50, 2)) + times[-1] + np.nansum(values)


def broken(times, values, inputs):
    raise ValueError("no fit today")


class Waiting(fl.AbstractSource):
    """Nine data, the last of which waits for the fit."""

    def __init__(self, refit):
        self.refit = refit

    async def arrivals(self, place=None):
        """One after the other."""
        for k in range(1, 10):
            while k == 9 and not self.refit._running.done():
                await asyncio.sleep(0.05)
            yield fl.Arrival(None, float(k), [0.1 * k, -0.2])


def test_a_posterior_is_swapped_in_and_no_datum_is_lost(tmp_path):
    """At datum 4 the last three go out; at 9 the belief of datum 4 gets the draws, and 5 to 9 come anew; one report each."""
    learner = fl.Joint(fl.ExtendedKalman())
    stream, refit = fl.Session(learner, family(), key=KEY), fl.Refit(fitted, window=3, every=4)
    tally = asyncio.run(fl.follow(stream, Waiting(refit), out=tmp_path / "out.jsonl", refit=refit))
    assert (tally, stream.count, refit.swaps) == ({"accepted": 9}, 9, 1)
    assert len((tmp_path / "out.jsonl").read_text().splitlines()) == 9
    expected, data = fl.Session(learner, family(), key=KEY), np.array([[0.1 * k, -0.2] for k in range(1, 10)])
    for k in range(4):
        expected.observe(k + 1.0, data[k])
    draws = fitted(np.array([2.0, 3.0, 4.0]), data[1:4], None)
    expected.rebuilt(with_parameters(expected.belief, draws, KEY), [])
    for k in range(4, 9):
        expected.observe(k + 1.0, data[k])
    np.testing.assert_allclose(stream.belief.stacked.mean, expected.belief.stacked.mean, rtol=1e-12)
    np.testing.assert_allclose(stream.belief.stacked.covariance, expected.belief.stacked.covariance, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("filter", [fl.ExtendedKalman(), fl.EnsembleKalman(20), fl.ParticleFilter(20)])
def test_parameters_are_replaced_and_the_state_stays(filter):
    belief = fl.Joint(filter).init(family(), key=KEY)
    draws = np.random.default_rng(1).normal(size=(40, 2)) + 7.0
    after = with_parameters(belief, draws, KEY)
    np.testing.assert_allclose(after.state.mean, belief.state.mean)
    np.testing.assert_allclose(after.state.covariance, belief.state.covariance)
    close = 1e-12 if isinstance(filter, fl.ExtendedKalman) else 5 / 20**0.5
    np.testing.assert_allclose(after.parameters.mean, draws.mean(axis=0), atol=close)
    with pytest.raises(ValueError, match=r"draws: finite, of shape \(n, 2\) with n > 2"):
        with_parameters(belief, draws[:, :1], KEY)


def test_what_cannot_be_replaced_and_a_fit_that_fails():
    nested = fl.Nested(fl.Kalman(), 5).init(family(), key=KEY)
    with pytest.raises(TypeError, match="belief: that of Joint is needed, got NestedBelief"):
        with_parameters(nested, np.zeros((9, 2)), KEY)
    stream, refit = fl.Session(fl.Joint(fl.ExtendedKalman()), family(), key=KEY), fl.Refit(broken, window=2, every=1)
    report = stream.observe(1.0, [0.1, 0.2])
    assert not refit.after(stream, report)
    until = time.monotonic() + 120
    while refit.failed is None:
        assert not refit.after(stream, stream.observe(stream.time + 1.0, [0.1, 0.2]))
        assert time.monotonic() < until
        time.sleep(0.05)
    refit.close()
    assert "no fit today" in str(refit.failed)
    assert refit.swaps == 0
