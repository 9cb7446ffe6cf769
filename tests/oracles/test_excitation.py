"""D7: two parameters of which only the product shows."""

import jax.numpy as jnp
import numpy as np
import pytest

import filterlearn as fl
from examples.unexcited_ratio import LEARNERS, data, grid_sds, product_family, sds


@pytest.mark.parametrize("name", LEARNERS)
def test_the_product_is_learned_and_the_ratio_is_known_not_to_be(name):
    """The product within five of its sds; that sd, and the ratio's, within 10 % of the grid's; the ratio alone is flagged,
    from 200 data on."""
    learner = LEARNERS[name]
    family, stream = product_family(fl.Static()), data()
    out = fl.run(learner, family, stream, save=sds)
    found, mean = (np.asarray(part) for part in out.saved)
    exact = grid_sds(family, stream)
    np.testing.assert_allclose(found[-1], exact, rtol=0.1)
    assert abs(mean[-1].sum() - np.log(1.3 * 0.7)) < 5 * 2**0.5 * exact[0]
    early = fl.run(learner, family, data(steps=200)).last
    for belief in (early, out.last):
        told = fl.excitation(family, belief)
        assert len(told.unexcited()) == 1
        np.testing.assert_allclose(abs(told.directions[0]), 0.5**0.5, atol=0.05)  # the sds of the priors are drawn
        assert told.directions[0, 0] * told.directions[0, 1] < 0
        assert told.ratios[1] < 0.05


def test_what_is_not_excited_does_not_wind_up():
    """Forgetting with a memory of 100 data over 5,000: the sd of the ratio stays the prior's, that of the product small."""
    family = product_family(fl.Forgetting(100.0))
    found = np.asarray(fl.run(fl.Joint(fl.ExtendedKalman()), family, data(), save=sds).saved[0])
    prior = float(jnp.sqrt(jnp.mean(family.sd**2)))
    np.testing.assert_allclose(found[:, 1], prior, rtol=0.1)
    assert (found[200:, 0] < 0.2 * prior).all()
