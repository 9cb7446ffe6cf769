"""The variance of the evidence from one run, against its variance over keys."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import filterlearn as fl
from tests.cases import GENEALOGIES
from tests.laws.test_proposals import watched
from tests.oracles.dense import dense_filter

KEY = jax.random.key(0)


@pytest.mark.parametrize("name", GENEALOGIES)
def test_one_run_tells_the_variance_over_keys(name):
    """With g = estimate - exact, E exp(g) = 1 and E exp(2 g) V = E (exp(g) - 1)^2: 2,000 keys within five standard errors,
    themselves a tenth of what is estimated; the numbers are those of the filter inside."""
    (model, data), algorithm = watched(1.0), GENEALOGIES[name]()
    exact = dense_filter(model, data)[2].sum()

    def one(key):
        save = lambda belief, info: (belief.evidence_variance, info.log_evidence)  # noqa: E731
        told, terms = fl.run(algorithm, model, data, key=key, save=save).saved
        return told[-1], jnp.sum(terms) - exact

    told, gap = (np.asarray(part) for part in jax.lax.map(one, jax.random.split(KEY, 2000), batch_size=200))
    square = (np.exp(gap) - 1) ** 2
    short = np.exp(2 * gap) * told - square
    se = short.std(ddof=1) / np.sqrt(2000)
    assert abs(short.mean()) < 5 * se < 0.5 * square.mean()
    inside = fl.log_evidence(algorithm.filter, model, data, key=jax.random.split(KEY, 2000)[0]) - exact
    np.testing.assert_allclose(gap[0], inside, rtol=1e-9, atol=1e-9)


def test_what_is_not_kept_is_refused():
    with pytest.raises(TypeError, match=r"filter: a ParticleFilter with Multinomial\(\)"):
        fl.Genealogy(fl.ParticleFilter(10))
    with pytest.raises(TypeError, match="got Kalman"):
        fl.Genealogy(fl.Kalman())
    with pytest.raises(ValueError, match="lineage: not kept"):
        fl.ParticleFilter(10).init(watched(1.0)[0], key=KEY).evidence_variance  # noqa: B018
