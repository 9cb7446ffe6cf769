"""Laws of the samplers: the posterior on a grid, one layout, one trace, and thetas that break the model."""

import functools

import arviz as az
import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest
import xarray as xr

import filterlearn as fl
from filterlearn.diagnostics.findings import findings
from filterlearn.diagnostics.step_size import finer
from filterlearn.posteriors.base import Target, log_density
from filterlearn.posteriors.particle_mcmc import _renewed, evidence_noise
from filterlearn.posteriors.steps import posterior_steps
from filterlearn.protocol import stream_keys
from tests.laws.test_learners import regression

TRACES = []
SIZES = {"warmup": 150, "draws": 300, "chains": 2}
METHODS = {  # each with an algorithm whose evidence it takes
    "nuts": (fl.NUTS(**SIZES), fl.Kalman()),
    "numpyro": (fl.NumPyroNUTS(**SIZES), fl.Kalman()),
    "particle": (fl.ParticleMCMC(300, 1200, 2), fl.ParticleFilter(50)),
    "particle in blocks": (fl.ParticleMCMC(300, 1200, 2, blocks=5), fl.ParticleFilter(40, fl.Ordered(fl.Systematic()))),
    "particle gibbs": (fl.ParticleGibbs(300, 1200, 2), fl.ParticleFilter(10)),
    "mclmc": (fl.MCLMC(300, 1200, 2), fl.Kalman()),
    "smc": (fl.SMC(1200, 40, 2), fl.Kalman()),
}
NAN_SEEN = fl.LinearGaussianObservation([[1.0]], [[float("nan")]])
GRADIENTS = ("nuts", "numpyro")


def build(p):
    """An autoregression under noise; scale = 0 or less breaks it."""
    TRACES.extend([1] * isinstance(p["scale"], jax.core.Tracer))
    step = fl.LinearDiscrete(p["memory"][None, None], p["scale"][None, None] ** 2)
    seen = fl.LinearGaussianObservation([[1.0]], [[0.5]])
    return fl.StateSpaceModel(fl.Gaussian([0.0], 1.0, time=0.0), step, seen)


FAMILY = fl.ModelFamily(
    build, {"memory": fl.Parameter(dist.Normal(0.5, 0.3)), "scale": fl.Parameter(dist.LogNormal(0.0, 0.5))}
)


@functools.cache
def series(seed=0, length=25):
    times = jnp.arange(1.0, length + 1)
    _, values = fl.simulate(FAMILY(FAMILY.unconstrain({"memory": 0.7, "scale": 0.8})), times, key=jax.random.key(seed))
    return fl.Dataset(times, values.at[7].set(jnp.nan), fl.Held([0.0, 10.0], [[1.0], [2.0]]))


@pytest.fixture(scope="module", params=METHODS)
def fitted(request):
    method, algorithm = METHODS[request.param]
    return request.param, fl.fit(FAMILY, series(), algorithm, method, key=jax.random.key(0))


@functools.cache
def exact(seed=0):
    """Means and standard deviations on a grid of the Kalman evidence that holds all but 1e-6 of the posterior."""
    data = series(seed)
    axes = [jnp.linspace(-0.6, 1.5, 80), jnp.linspace(-2.2, 1.2, 80)]
    grid = jnp.stack(jnp.meshgrid(*axes, indexing="ij"), -1).reshape(-1, 2)
    level = jax.vmap(lambda th: fl.log_evidence(fl.Kalman(), FAMILY(th), data) + FAMILY.log_prior(th))(grid)
    weights, values = jax.nn.softmax(level), jax.vmap(FAMILY.constrain)(grid)
    means = {name: weights @ v for name, v in values.items()}
    return means, {name: jnp.sqrt(weights @ (v - means[name]) ** 2) for name, v in values.items()}


def assert_matches(tree, means, sds):
    """Mean and standard deviation within 5 Monte Carlo errors, from the effective sample size."""
    for kind, wanted in (("mean", means), ("sd", sds)):
        draws = tree["posterior"].to_dataset()
        error, found = az.mcse(draws, method=kind), getattr(draws, "std" if kind == "sd" else kind)()
        for name in means:
            assert abs(float(found[name]) - wanted[name]) < 5 * float(error[name]), (kind, name)


def test_every_method_matches_the_grid(fitted):
    assert_matches(fitted[1], *exact())


def test_one_layout(fitted):
    name, tree = fitted
    groups = {"posterior", "sample_stats", "log_likelihood", "log_prior", "observed_data", "constant_data", "filter"}
    assert set(tree.children) == groups
    assert tree["log_likelihood"]["y"].dims == ("chain", "draw", "time")
    assert tree["log_likelihood"].sizes["time"] == 24  # the missing one tells nothing
    assert tree["observed_data"]["y"].dims == ("time", "sensor")
    assert tree["constant_data"]["inputs"].dims == ("time", "input_0")
    assert tree["constant_data"]["inputs"][:, 0].to_numpy().tolist() == [1.0] * 9 + [2.0] * 16
    assert set(tree["posterior"].data_vars) == set(tree["log_prior"].data_vars) == set(FAMILY.names)
    assert tree["filter"]["mean"].dims == ("time", "state")
    expected = {"acceptance_rate", "lp"}
    if name in GRADIENTS:
        expected |= {"diverging", "energy", "n_steps", "tree_depth", "step_size"}
    if name == "mclmc":
        expected |= {"diverging", "n_steps", "step_size"}
    assert set(tree["sample_stats"].data_vars) == expected


def test_statistics_mean_the_same(fitted):
    """lp is the log density of the draw; the energy exceeds -lp by the kinetic energy."""
    name, tree = fitted
    if not isinstance(METHODS[name][1], fl.Kalman):
        pytest.skip("particle MCMC keeps the estimate that it accepted")
    total = tree["log_likelihood"]["y"].sum("time") + sum(tree["log_prior"][n] for n in FAMILY.names)
    jacobian = np.log(tree["posterior"]["scale"])  # of the only positive parameter
    np.testing.assert_allclose(tree["sample_stats"]["lp"], total + jacobian, rtol=1e-9)
    if name not in GRADIENTS:
        return
    assert (tree["sample_stats"]["energy"] >= -tree["sample_stats"]["lp"]).all()
    steps, depth = tree["sample_stats"]["n_steps"], tree["sample_stats"]["tree_depth"]
    assert ((steps >= 2 ** (depth - 1)) & (steps < 2**depth)).all()


def test_arviz_reads_it(fitted, tmp_path):
    tree = fitted[1]
    assert set(az.summary(tree).index) == set(FAMILY.names)
    assert az.loo(tree).n_data_points == 24
    assert set(az.psense_summary(tree).index) == set(FAMILY.names)
    assert all(float(v) < 1.1 for v in az.rhat(tree).data_vars.values())
    tree.to_netcdf(tmp_path / "fit.nc")
    tree.to_zarr(tmp_path / "fit.zarr")
    for name, engine in (("fit.nc", "netcdf4"), ("fit.zarr", "zarr")):
        with xr.open_datatree(tmp_path / name, engine=engine) as again:
            xr.testing.assert_equal(again.load(), tree)


def test_nothing_is_found_but_that_it_is_short(fitted):
    """In these few draws R-hat and effective sizes miss what a report asks; nothing else may."""
    said = [row for row in findings(fitted[1]).rows if not any(word in row[1] for word in ("R-hat", "ESS"))]
    assert said == []


def test_a_refit_traces_nothing(fitted):
    method, algorithm = METHODS[fitted[0]]
    TRACES.clear()
    again = fl.fit(FAMILY, series(seed=1), algorithm, method, key=jax.random.key(5))
    assert not TRACES
    assert_matches(again, *exact(seed=1))


def test_smc_estimates_the_evidence():
    """The mean of estimate / exact, by a grid that holds all of the posterior, is 1 within 5 standard errors."""
    data, size = series(), 120
    axes = [jnp.linspace(-2.5, 3.5, size), jnp.linspace(-3.5, 3.5, size)]
    grid = jnp.stack(jnp.meshgrid(*axes, indexing="ij"), -1).reshape(-1, 2)
    level = jax.vmap(lambda th: fl.log_evidence(fl.Kalman(), FAMILY(th), data) + FAMILY.log_prior(th))(grid)
    exact = jax.nn.logsumexp(level) + jnp.log(6.0 * 7.0 / (size - 1) ** 2)
    method, algorithm = METHODS["smc"]
    target = Target(FAMILY, algorithm, data, jax.random.key(0))
    drawn = [method.draw(target, None, None, key=jax.random.key(k)).attributes for k in range(12)]
    ratio = np.exp(np.concatenate([each["log_evidence"] for each in drawn]) - exact)
    assert abs(ratio.mean() - 1) < 5 * ratio.std() / len(ratio) ** 0.5 < 0.15
    assert all(np.all(np.diff(each["temperatures"]) > 0) and each["temperatures"][-1] == 1 for each in drawn)


def test_a_theta_that_breaks_the_model_has_density_zero_and_a_finite_gradient():
    def broken(p):
        step = fl.LinearDiscrete([[0.5]], p["variance"][None, None])
        return fl.StateSpaceModel(fl.Gaussian([0.0], 1.0), step, fl.LinearGaussianObservation([[1.0]], [[0.1]]))

    family = fl.ModelFamily(broken, {"variance": fl.Parameter(dist.Normal(1.0, 1.0))})
    target = Target(family, fl.Kalman(), series())
    good, bad = (jax.value_and_grad(log_density)(jnp.array([v]), target) for v in (1.0, -5.0))
    assert bad[0] == -jnp.inf
    assert bad[1] == 0.0
    step = 1e-5
    slope = (target(jnp.array([1 + step])) - target(jnp.array([1 - step]))) / (2 * step)
    np.testing.assert_allclose(good[1][0], slope, rtol=1e-6)
    # a third of the proposals from here meet the wall; none poisons the adaptation
    drawn = fl.ParticleMCMC(300, 300, 2).draw(target, jnp.full((2, 1), 0.1), jnp.ones(1), key=jax.random.key(1))
    assert np.isfinite(drawn.draws).all()
    assert np.isfinite(drawn.statistics["lp"]).all()
    assert 0.1 < drawn.statistics["acceptance_rate"].mean() < 0.5
    # a sixth of the prior breaks the model, and counts as evidence zero
    rest = jnp.linspace(1e-6, 7.0, 4001)[:, None]
    exact = jax.nn.logsumexp(jax.vmap(target)(rest)) + jnp.log(7.0 / 4000)
    drawn = fl.SMC(400, 20, 8).draw(target, None, None, key=jax.random.key(1))
    assert (drawn.draws > 0).all()
    ratio = np.exp(drawn.attributes["log_evidence"] - exact)
    assert abs(ratio.mean() - 1) < 5 * ratio.std() / 8**0.5 < 0.25


def test_what_a_method_cannot_sample_is_refused():
    def broken(p):
        return fl.StateSpaceModel(fl.Gaussian([p["level"]], 1.0), fl.LinearDiscrete([[0.5]], [[1.0]]), NAN_SEEN)

    family = fl.ModelFamily(broken, {"level": fl.Parameter(dist.Normal(1.0, 1.0))})
    with pytest.raises(ValueError, match="family: the density is finite at none of 20 draws"):
        fl.SMC(20, 5, 2).draw(Target(family, fl.Kalman(), series()), None, None, key=jax.random.key(1))
    with pytest.raises(ValueError, match="method: MCLMC needs two parameters or more, got one"):
        fl.MCLMC().draw(Target(family, fl.Kalman(), series()), jnp.zeros((4, 1)), jnp.ones(1), key=jax.random.key(1))
    with pytest.raises(ValueError, match="size: a multiple of moves=7"):
        fl.SMC(20, 7)


def test_a_warm_start_without_spread_recovers():
    start = jnp.tile(FAMILY.unconstrain({"memory": 0.7, "scale": 0.8}), (10, 1))
    method, algorithm = METHODS["particle"]
    tree = fl.fit(FAMILY, series(), algorithm, method, start=start, key=jax.random.key(2))
    assert_matches(tree, *exact())


def test_too_few_particles_are_told():
    """At data far out: before the chains, and in the report, of the evidence, of the chains and of the filter."""
    data, (method, algorithm) = series(), METHODS["particle"]
    far = fl.Dataset(data.times, 5 * data.values, data.inputs)
    with pytest.warns(UserWarning, match=r"variance .* at the start.*take size=\d+ instead of 50"):
        tree = fl.fit(FAMILY, far, algorithm, method, key=jax.random.key(0))
    said = {row[0]: row for row in findings(tree).rows}
    assert "too few particles" in said["evidence"][2]
    assert "stuck for" in said["chain 0"][1]
    assert "too few particles; take more" in said["filter"][2]


def test_the_size_is_found():
    """The variance of the log evidence, by other keys and pairs, is near 1, with four blocks near 1 / 2."""
    one, four = (
        fl.sized(FAMILY, series(), fl.ParticleFilter(15, fl.Multinomial()), fl.ParticleMCMC(blocks=n), key=jax.random.key(3))
        for n in (1, 4)
    )
    for found, blocks, wanted in ((one, 1, 1.0), (four, 4, 0.5)):
        target = Target(FAMILY, found, series(), jax.random.key(0))
        assert 0.3 < evidence_noise(target, FAMILY.median, blocks, jax.random.key(9)) / wanted < 3.0
    assert found.size > 50
    assert isinstance(found.resampler, fl.Multinomial)
    with pytest.raises(TypeError, match="algorithm: a ParticleFilter, or a learner around one, is needed, got Kalman"):
        fl.sized(FAMILY, series(), fl.Kalman(), key=jax.random.key(3))


def test_a_path_that_sticks_is_told():
    data, (method, algorithm) = series(), METHODS["particle gibbs"]
    far = fl.Dataset(data.times, 40 * data.values, data.inputs)
    target = Target(FAMILY, algorithm, far, jax.random.key(0))
    with pytest.warns(UserWarning, match=r"state before row \d+ changed in .* take more particles than size=10"):
        method.draw(target, jnp.zeros((2, 2)), jnp.ones(2), key=jax.random.key(0))


def test_no_finite_start_is_refused():
    start = jnp.full((10, 2), jnp.nan)
    with pytest.raises(ValueError, match="family: the evidence is not finite"):
        fl.fit(FAMILY, series(), fl.Kalman(), METHODS["nuts"][0], start=start, key=jax.random.key(0))


def test_a_learner_filters_what_moves_and_the_rest_is_sampled():
    """A moving regression with an unknown noise sd: the evidence is that of the exact Kalman filter on the coefficients."""
    data, _ = regression(3, 40)

    def build(p):
        still = fl.LinearDiscrete([[0.0]], [[0.0]])
        seen = fl.GaussianObservation(lambda t, x, u: (u @ p["theta"])[None] + 0 * x, p["sd"][None, None] ** 2)
        return fl.StateSpaceModel(fl.Gaussian([0.0], 0.0), still, seen)

    def by_kalman(log_sd):
        seen = fl.LinearGaussianObservation(lambda t, u: u[None], jnp.exp(2 * log_sd)[None, None])
        model = fl.StateSpaceModel(fl.Gaussian(jnp.zeros(3), 1.0), fl.LinearDiscrete(jnp.eye(3), 0.01 * jnp.eye(3)), seen)
        return fl.log_evidence(fl.Kalman(), model, data)

    moving = fl.Parameter(dist.Normal(jnp.zeros(3), 1.0), fl.RandomWalk(0.1))
    family = fl.ModelFamily(build, {"theta": moving, "sd": fl.Parameter(dist.LogNormal(0.0, 0.5))})
    learner = fl.Joint(fl.ExtendedKalman())
    target = Target(family, learner, data)
    grid = jnp.linspace(-1.5, 1.5, 300)
    level = jax.vmap(by_kalman)(grid)
    np.testing.assert_allclose(target.terms(grid[200:201]).sum(), level[200], rtol=1e-10)

    weights = jax.nn.softmax(level + jax.vmap(lambda th: target.sampled.log_prior(th[None]))(grid))
    mean = weights @ jnp.exp(grid)
    start = family.sample_prior(20, key=jax.random.key(1))  # draws of the whole family, as a learner gives them
    tree = fl.fit(family, data, learner, fl.ParticleMCMC(300, 1200, 2), start=start, key=jax.random.key(0))
    assert_matches(tree, {"sd": mean}, {"sd": jnp.sqrt(weights @ (jnp.exp(grid) - mean) ** 2)})
    assert tree["filter"]["parameter_theta"].dims == ("time", "level", "theta_dim_0")
    np.testing.assert_array_equal(tree["constant_data"]["inputs"], data.inputs)


@pytest.mark.parametrize("moving", [(), ("memory", "scale")])
def test_a_learner_needs_something_to_filter_and_something_to_sample(moving):
    laws = {name: fl.RandomWalk(0.1) if name in moving else fl.Static() for name in FAMILY.names}
    family = fl.ModelFamily(build, {name: fl.Parameter(FAMILY.parameters[name].prior, law) for name, law in laws.items()})
    with pytest.raises(
        ValueError, match="family: every parameter moves" if moving else "algorithm: a learner filters moving"
    ):
        fl.fit(family, series(), fl.Joint(fl.ExtendedKalman()), key=jax.random.key(0))


def stiff(prior):
    """(a family of one Euler step for each gap, data of the exact model)."""

    def build(p, steps=1):
        sde = fl.SDE(lambda t, x, u: -p["rate"] * x, jnp.array([1.0]))
        seen = fl.LinearGaussianObservation([[1.0]], [[0.05]])
        return fl.StateSpaceModel(fl.Gaussian([0.0], 0.1, time=0.0), fl.EulerMaruyama(sde, steps=steps), seen)

    times = 0.3 * jnp.arange(1, 41)
    values = fl.simulate(build({"rate": 4.0}, 32), times, key=jax.random.key(0))[1]
    return fl.ModelFamily(build, {"rate": fl.Parameter(prior)}), fl.Dataset(times, values)


def test_a_fit_tells_that_its_steps_are_too_coarse():
    family, data = stiff(dist.Normal(4.0, 0.01))
    with pytest.warns(UserWarning, match="steps=1 is too coarse"):
        tree = fl.fit(family, data, fl.ExtendedKalman(), fl.ParticleMCMC(20, 20, 1), key=jax.random.key(0))
    assert abs(tree["filter"].attrs["half_step_change"]) > 1
    assert tree["filter"].attrs["half_step_error"] < 0.1


def test_the_shift_at_half_the_step_is_that_of_the_posterior():
    """Cov(theta, change) / sd against quadrature, with draws at the posterior's quantiles: to first order in the tilt."""
    family, data = stiff(dist.Normal(4.0, 0.02))
    rates = jnp.linspace(3.9, 4.1, 201)

    def weights(family):
        level = jax.vmap(lambda rate: fl.log_evidence(fl.ExtendedKalman(), family(rate[None]), data))(rates)
        return jax.nn.softmax(level - 0.5 * ((rates - 4.0) / 0.02) ** 2)

    coarse, fine = weights(family), weights(finer(family))
    mean = coarse @ rates
    sd = jnp.sqrt(coarse @ (rates - mean) ** 2)
    draws = jnp.interp((jnp.arange(32) + 0.5) / 32, jnp.cumsum(coarse), rates).reshape(1, 32, 1)
    target = Target(family, fl.ExtendedKalman(), data)
    report = posterior_steps(target, draws, key=jax.random.key(0))
    exact = float((fine @ rates - mean) / sd)
    assert abs(exact) > 0.02
    assert report.shift == pytest.approx(exact, rel=0.1)


def test_a_block_of_random_numbers_is_renewed():
    """One in five of 26 keys, rounded up, side by side on the ring; sorted resampling keeps the evidence closer."""
    data, key = series(), jax.random.key(4)
    keys = stream_keys(key, len(data))
    changed = (jax.random.key_data(_renewed(keys, 5, jax.random.key(1))) != jax.random.key_data(keys)).any(1)
    assert changed.sum() == 6
    assert (changed != jnp.roll(changed, 1)).sum() == 2
    whole = fl.run(fl.ParticleFilter(20), FAMILY(FAMILY.median), data, key=key)
    parts = fl.run(fl.ParticleFilter(20), FAMILY(FAMILY.median), data, key=keys)
    np.testing.assert_array_equal(whole.log_evidence, parts.log_evidence)
    times = jnp.arange(1.0, 201.0)
    longer = fl.Dataset(times, fl.simulate(FAMILY(FAMILY.median), times, key=jax.random.key(3))[1])
    filters = (fl.ParticleFilter(100, resampler) for resampler in (fl.Systematic(), fl.Ordered(fl.Systematic())))
    noise = [evidence_noise(Target(FAMILY, each, longer, key), FAMILY.median, 25, key) for each in filters]
    assert noise[1] < noise[0] / 2
