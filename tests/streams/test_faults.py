"""What live data bring: duplicates, silences, wild values, and beliefs that are lost."""

import re

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest

import filterlearn as fl
from filterlearn.streams.parameters import named_parameters
from tests.cases import driven_data, driven_model, linear_data, linear_model

KEY, NAN = jax.random.key(5), float("nan")


def same(one, two):
    pairs = zip(jax.tree.leaves(one.belief), jax.tree.leaves(two.belief), strict=True)
    return all(np.array_equal(a, b) for a, b in pairs)


def session(algorithm=None, model=None, **given):
    return fl.Session(algorithm or fl.Kalman(), model or linear_model(), key=KEY, **given)


@pytest.mark.parametrize("algorithm", [fl.Kalman(), fl.ParticleFilter(30)])
def test_many_at_once_are_as_one_by_one(algorithm):
    """300 rows, two of them late: two scans of 128 and the rest by steps."""
    data = linear_data(300)
    times, values = np.array(data.times), np.asarray(data.values)
    times[[40, 200]] -= 3.0
    one, many = session(algorithm), session(algorithm)
    expected, reports = (
        [one.observe(t, y) for t, y in zip(times, values, strict=True)],
        many.observe_many(times, values),
    )
    assert [report.flags for report in reports] == [report.flags for report in expected]
    assert one.counts == many.counts == {"late": 2}
    assert (one.count, one.time) == (many.count, many.time)
    np.testing.assert_allclose([r.mean for r in reports], [r.mean for r in expected], rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose([r.log_evidence for r in reports], [r.log_evidence for r in expected], rtol=1e-9, atol=1e-9)


def test_many_with_inputs_and_with_one_that_is_lost():
    """The block that holds it is done one by one; the others by scans."""
    data = driven_data(260)
    values = np.array(data.values)
    values[150] = 1e200
    one, many = (session(fl.ExtendedKalman(), driven_model()) for _ in range(2))
    expected = [one.observe(t, y, u) for t, y, u in zip(data.times, values, data.inputs, strict=True)]
    reports = many.observe_many(data.times, values, np.asarray(data.inputs))
    assert "not finite" in reports[150].flags
    assert one.counts == many.counts
    np.testing.assert_allclose([r.mean for r in reports], [r.mean for r in expected], rtol=1e-9, atol=1e-9)


def test_a_wrong_row_among_many_is_refused_before_any():
    stream = session()
    with pytest.raises(ValueError, match=re.escape("value: shape (2,) is needed") + ".*in row 1"):
        stream.observe_many([1.0, 2.0], [[0.1, 0.2], [0.1]])
    with pytest.raises(ValueError, match="values: 2 rows are needed"):
        stream.observe_many([1.0, 2.0], [[0.1, 0.2]])
    assert stream.count == 0


def test_a_duplicate_changes_nothing(tmp_path):
    """Not even the random numbers of those after it; the checkpoint remembers the last ids."""
    data, filter = linear_data(12), fl.ParticleFilter(30)
    clean, stream = session(filter), session(filter, remember=3)
    for k in range(8):
        clean.observe(data.times[k], data.values[k])
        stream.observe(data.times[k], data.values[k], id=k)
        if k == 4:
            stream.save(tmp_path / "a.npz")
            stream = fl.Session.load(tmp_path / "a.npz", filter, linear_model())
        again = stream.observe(data.times[k], [9.0, 9.0], id=max(0, k - 2))
        assert (again.flags, again.log_evidence) == (("duplicate",), 0.0)
        np.testing.assert_allclose(again.mean, clean.belief.mean, rtol=1e-12)
    assert same(clean, stream)
    assert (stream.count, stream.counts["duplicate"], stream.remember) == (8, 8, 3)
    assert stream.observe(data.times[7], data.values[7], id=4).flags == ()  # no longer remembered
    for remember, given in ((0, "a"), (3, 1.5)):
        with pytest.raises(ValueError, match="id: text or a whole number"):
            session(remember=remember).observe(1.0, [0.1, 0.2], id=given)


def relaxing(rate=1.0):
    sde = fl.SDE(lambda t, x, u: -rate * x, jnp.array([0.5]))
    return fl.StateSpaceModel(
        fl.Gaussian([1.0], 1.0, time=0.0), fl.EulerMaruyama(sde, steps=2), fl.GaussianObservation(lambda t, x, u: x, [[1.0]])
    )


def test_a_long_silence_is_passed_in_bounded_steps():
    """Two Euler steps over 100 relaxation times explode; in equal parts below 1 they come to rest, as many small gaps do."""
    filter = fl.ExtendedKalman()
    wild, stream, by_hand = (session(filter, relaxing(), longest=longest) for longest in (None, 1.0, None))
    for each in (wild, stream, by_hand):
        each.observe(0.5, 0.3)
    for time in np.linspace(0.5, 100.0, 101)[1:-1]:
        by_hand.observe(time, NAN)
    reports = [each.observe(100.0, 0.2) for each in (wild, stream, by_hand)]
    assert abs(reports[0].info.predicted[1][0]) > 1e5
    np.testing.assert_allclose(reports[1].mean, reports[2].mean, rtol=1e-9)
    np.testing.assert_allclose(reports[1].info.predicted[1], reports[2].info.predicted[1], rtol=1e-9)
    assert stream.count == 2
    with pytest.raises(ValueError, match="time: 1000000.0 is more than 10000 times the longest gap, 1, after 100"):
        stream.observe(1e6, 0.1)
    with pytest.raises(ValueError, match="longest: a gap above 0"):
        session(longest=0.0)


def test_values_out_of_bounds_are_refused():
    stream = session(bounds=([-1.0, 0.0], [1.0, 5.0]))
    stream.observe(1.0, [NAN, 4.0])
    with pytest.raises(ValueError, match=re.escape("value: [0.5, 7.0] is outside the bounds [-1.0, 0.0] to [1.0, 5.0]")):
        stream.observe(2.0, [0.5, 7.0])
    assert stream.count == 1
    with pytest.raises(ValueError, match="bounds: the lower before the upper"):
        session(bounds=(1.0, 0.0))


POLICIES = {
    "keep": (fl.KeepLast(), lambda good, begun: good),
    "restart": (fl.Restart(), lambda good, begun: begun),
    "widen": (fl.Widen(4.0), lambda good, begun: (good[0], 4 * good[1])),
}


@pytest.mark.parametrize("name", POLICIES)
def test_a_policy_says_what_becomes_of_a_lost_belief(name, tmp_path):
    """A datum of 1e200 is lost; what the stream goes on with is told by the report, and is the exact answer."""
    policy, expected = POLICIES[name]
    stream, empty = session(policy=policy), session()
    good = stream.observe(1.0, [0.3, 0.1])
    begun = empty.observe(2.0, [NAN, NAN])
    lost = stream.observe(2.0, [1e200, 0.0])
    mean, covariance = expected((good.mean, good.covariance), (begun.mean, begun.covariance))
    assert "not finite" in lost.flags
    assert stream.counts["not finite"] == 1
    np.testing.assert_allclose(lost.mean, mean, rtol=1e-12)
    np.testing.assert_allclose(lost.covariance, covariance, rtol=1e-12)
    assert stream.observe(3.0, [0.2, 0.2]).flags == ()
    stream.save(tmp_path / "a.npz")
    assert fl.Session.load(tmp_path / "a.npz", fl.Kalman(), linear_model(), policy=policy).counts == stream.counts
    with pytest.raises(ValueError, match=f"path: policy is {type(policy).__name__} in .* and Stop here"):
        fl.Session.load(tmp_path / "a.npz", fl.Kalman(), linear_model(), policy=fl.Stop())


def test_a_stream_may_stop_and_a_wrong_policy_is_refused():
    stream = session(policy=fl.Stop())
    stream.observe(1.0, [0.3, 0.1])
    with pytest.raises(FloatingPointError, match="belief: not finite.* at datum 2, time 2"):
        stream.observe(2.0, [1e200, 0.0])
    with pytest.raises(ValueError, match="factor: a number above 1"):
        fl.Widen(1.0)
    with pytest.raises(TypeError, match="belief: a Gaussian, an Ensemble or Particles can be mapped, got NestedBelief"):
        session(fl.Nested(fl.Kalman(), 5), family(), policy=fl.Widen(2.0))


@pytest.mark.parametrize("algorithm", [fl.EnsembleKalman(2000), fl.ParticleFilter(2000), fl.Joint(fl.ExtendedKalman())])
def test_a_belief_of_any_kind_is_widened(algorithm):
    """Of samples within five standard errors of a variance, sqrt(2 / n) of it."""
    model = family() if isinstance(algorithm, fl.Joint) else linear_model()
    stream = session(algorithm, model, policy=fl.Widen(9.0))
    good, lost = stream.observe(1.0, [0.3, 0.1]), stream.observe(2.0, [1e200, 0.0])
    assert {"not finite", "weights collapsed"} & set(lost.flags)
    close = 1e-9 if isinstance(algorithm, fl.Joint) else 5 * 2 * (2 / 2000) ** 0.5
    if "not finite" in lost.flags:
        np.testing.assert_allclose(np.diagonal(lost.covariance), 9 * np.diagonal(good.covariance), rtol=close)


def family(**more):
    def build(p):
        return eqx.tree_at(lambda m: m.initial.mean, linear_model(), jnp.array([p["shift"], 0.0]))

    return fl.ModelFamily(build, {"shift": fl.Parameter(dist.Normal(0.3, 0.1)), **more})


def test_another_model_is_told_by_what_differs(tmp_path):
    session(fl.EnsembleKalman(20)).save(tmp_path / "a.npz")
    for algorithm, words in (
        (fl.EnsembleKalman(21), "path: algorithm.size is 20 in .* and 21 here; was the model changed"),
        (fl.EnsembleKalman(20, fl.Transform()), "path: algorithm.analysis is Perturbed in .* and Transform here"),
    ):
        with pytest.raises(ValueError, match=words):
            fl.Session.load(tmp_path / "a.npz", algorithm, linear_model())


def test_parameters_are_told_exactly():
    """A Gaussian belief: the normal, log-normal and logit-normal laws by their closed forms, or by 200,000 draws; what is
    not constrained entry by entry, a simplex, by 1,000 draws of its own."""
    priors = {"a": dist.Normal(0.0, 1.0), "b": dist.LogNormal(0.0, 1.0).expand([2]).to_event(1), "c": dist.Beta(2.0, 2.0)}
    priors["d"] = dist.Dirichlet(jnp.ones(3))
    several = fl.ModelFamily(lambda p: None, {name: fl.Parameter(prior) for name, prior in priors.items()})
    mean, sd = jnp.array([0.5, -1.0, 0.2, 0.3, 0.1, -0.4]), jnp.array([0.3, 0.5, 0.8, 1.2, 0.4, 0.6])
    belief = eqx.tree_at(
        lambda b: b.stacked,
        joint_belief(),
        fl.Gaussian(jnp.append(jnp.zeros(2), mean), jnp.diag(jnp.append(jnp.ones(2), sd**2))),
    )
    told = named_parameters(several, belief, KEY)
    points = jax.vmap(several.constrain)(belief.parameters.sample(200_000, key=jax.random.key(9)))
    z = jnp.array([-1.6448536269514722, 0.0, 1.6448536269514722])
    np.testing.assert_allclose(told["a"]["mean"], 0.5, rtol=1e-12)
    np.testing.assert_allclose(told["a"]["sd"], 0.3, rtol=1e-12)
    np.testing.assert_allclose(told["b"]["mean"], jnp.exp(mean[1:3] + sd[1:3] ** 2 / 2), rtol=1e-9)
    variance = jnp.expm1(sd[1:3] ** 2) * jnp.exp(2 * mean[1:3] + sd[1:3] ** 2)
    np.testing.assert_allclose(told["b"]["sd"], jnp.sqrt(variance), rtol=1e-7)
    np.testing.assert_allclose(told["b"]["quantiles"], jnp.exp(mean[1:3] + z[:, None] * sd[1:3]), rtol=1e-12)
    np.testing.assert_allclose(told["c"]["quantiles"], jax.nn.sigmoid(0.3 + z * 1.2), rtol=1e-12)
    for name, n in (("c", 200_000), ("d", 1000)):
        spread = points[name].std(axis=0)
        assert (abs(told[name]["mean"] - points[name].mean(axis=0)) < 5 * spread * (1 / n + 1 / 200_000) ** 0.5).all()


def joint_belief():
    return fl.Joint(fl.ExtendedKalman()).init(family())
