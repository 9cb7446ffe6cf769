"""Every wrong input is refused in one line that names the argument."""

import re

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest

import filterlearn as fl
from tests.cases import (
    MARK,
    MATRIX,
    NOISE,
    counting,
    hidden_family,
    linear_model,
    linear_sde,
    regression_family,
    slope_family,
    switching_model,
)

NAN, INF = float("nan"), float("inf")


def jumping(mark=MARK, **given):
    return fl.EulerMaruyama(fl.SDE(lambda t, x, u: x, NOISE, fl.CompoundPoisson(1.0, mark, **given)), steps=1)


def noiseless(solver):
    return fl.Diffrax(fl.SDE(lambda t, x, u: x, np.zeros((2, 0))), solver, steps=1)


def started(algorithm, transition):
    model = linear_model()
    return algorithm.init(fl.StateSpaceModel(model.initial, transition, model.observation))


def with_jumps(*given):
    return fl.LinearSDE(MATRIX, NOISE, jumps=fl.CompoundPoisson(*given))


def guided(transition):
    return started(fl.ParticleFilter(10, proposal=fl.Guided()), transition)


def analysed(analysis):
    """A datum of two sensors told to ten members of two states, traced."""
    run = lambda key: fl.log_evidence(fl.EnsembleKalman(10, analysis), linear_model(), fl.Dataset([1], [[0.0, 1.0]]), key=key)  # noqa: E731
    return eqx.filter_eval_shape(run, jax.random.key(0))


def curved():
    return fl.SDE(lambda t, x, u: -x, lambda t, x, u: 0.3 * x)


def stepping_family():
    """Three Euler steps in each gap, at an unknown scale."""

    def build(p):
        noise = p["scale"] * NOISE
        transition = fl.EulerMaruyama(fl.SDE(lambda t, x, u: MATRIX @ x, noise), steps=3)
        return fl.StateSpaceModel(linear_model().initial, transition, linear_model().observation)

    return fl.ModelFamily(build, {"scale": fl.Parameter(dist.LogNormal(0.0, 1.0))})


def low_rank(dynamics):
    """A step of two parameters that move so."""

    def build(p):
        return eqx.tree_at(lambda m: m.transition.offset, linear_model(), jnp.stack([p["a"], p["b"]]))

    priors = {name: fl.Parameter(dist.Normal(0.0, 1.0)) for name in "ab"}
    learner, family = fl.LowRank(fl.Kalman(), 2), fl.ModelFamily(build, priors, dynamics)
    return eqx.filter_eval_shape(lambda: fl.log_evidence(learner, family, fl.Dataset([1], [[0.0, 1.0]])))


def letting_go(learner):
    """Traced on the family of the learner."""
    from_prior = eqx.filter_eval_shape(lambda key: learner.init(slope_family(), key=key), jax.random.key(0))
    return eqx.filter_eval_shape(learner.widened, slope_family(), from_prior, 0.0, key=jax.random.key(0))


def since_last_family():
    """Jumps counted since the last datum, of which the rate of reversion is unknown."""

    def build(p):
        seen = fl.LinearGaussianObservation([[p["a"], 1.0]], [[1.0]])
        return fl.StateSpaceModel(fl.Gaussian([0.0, 0.0], 1.0), counting(), seen)

    return fl.ModelFamily(build, {"a": fl.Parameter(dist.Normal(0.0, 1.0))})


WRONG = {
    "unequal lengths": (lambda: fl.Dataset([1, 2], [1.0]), "values: 2 rows"),
    "wrong dimension": (
        lambda: fl.log_evidence(fl.Kalman(), linear_model(), fl.Dataset([1, 2], [1.0, 2.0])),
        "value: shape (2,) is needed, one entry for each sensor of the model, got (1,)",
    ),
    "wrong dimension for a learner": (
        lambda: fl.run(
            fl.Nested(fl.ExtendedKalman(), 4), stepping_family(), fl.Dataset([1], [[1.0, 2.0, 3.0]]), key=jax.random.key(0)
        ),
        "value: shape (2,) is needed",
    ),
    "decreasing times": (lambda: fl.Dataset([2, 1], [1.0, 2.0]), "times: decreasing at row 1"),
    "non-finite times": (lambda: fl.Dataset([1, NAN], [1.0, 2.0]), "times: not finite at row 1"),
    "infinite value": (lambda: fl.Dataset([1, 2], [1.0, INF]), "values: infinite at row 1"),
    "no rows": (lambda: fl.Dataset([], []), "times: no rows"),
    "strings": (lambda: fl.Dataset([1, 2], ["a", "b"]), "values: numbers are needed"),
    "ragged": (lambda: fl.Dataset([1, 2], [[1.0], [1.0, 2.0]]), "values: the rows have unequal lengths"),
    "dimension": (lambda: fl.Dataset([1, 2], np.zeros((2, 2, 2))), "values: shape"),
    "inputs": (lambda: fl.Dataset([1, 2], [1.0, 2.0], [1.0]), "inputs: 2 rows"),
    "not semidefinite": (lambda: fl.Gaussian([0.0, 0.0], [[1.0, 2.0], [2.0, 1.0]]), "covariance: not positive"),
    "not symmetric": (lambda: fl.Gaussian([0.0, 0.0], [[1.0, 0.5], [0.0, 1.0]]), "covariance: not symmetric"),
    "a known part that is none": (
        lambda: fl.ResidualDrift(0.0, lambda t, x, u: x),
        "known: a function (t, x, u) is needed, got float",
    ),
    "symplectic steps of what has no force": (
        lambda: fl.Symplectic(linear_sde(), steps=1),
        "drift: one with a velocity and a force is needed, such as HamiltonianDrift, got function",
    ),
    "symplectic steps of curved noise": (
        lambda: fl.Symplectic(curved(), steps=1),
        "diffusion: Symplectic needs additive noise",
    ),
    "a control that is not there": (
        lambda: fl.ControlledDrift(2, inputs=1, key=jax.random.key(0))(0.0, jnp.zeros(2), None),
        "inputs: ControlledDrift needs them",
    ),
    "a constraint that is no function": (
        lambda: fl.ConstrainedDrift(2, 1.0, key=jax.random.key(0)),
        "constraint: a function of q is needed, got float",
    ),
    "jumps to be held together": (
        lambda: fl.StochasticLyapunovDrift(jumping().sde, fl.LyapunovFunction(2, key=jax.random.key(0))),
        "sde: one without jumps is needed, got 1",
    ),
    "the width of a network": (lambda: fl.NetworkDrift(2, width=0, key=jax.random.key(0)), "width:"),
    "steps": (lambda: fl.EulerMaruyama(linear_sde(), steps=0), "steps:"),
    "state noise": (lambda: fl.RungeKutta(fl.SDE(lambda t, x, u: x, lambda t, x, u: x), steps=1), "diffusion:"),
    "a solver of nothing": (lambda: fl.Diffrax(linear_sde(), "Heun", steps=1), "solver: a diffrax solver is needed, got str"),
    "a Stratonovich solver": (
        lambda: fl.Diffrax(fl.SDE(lambda t, x, u: x, lambda t, x, u: x), diffrax.Heun(), steps=1),
        "solver: Heun is in the sense of Stratonovich",
    ),
    "an ODE solver": (
        lambda: fl.Diffrax(linear_sde(), diffrax.Tsit5(), steps=1),
        "solver: Tsit5 is for equations without noise",
    ),
    "no tolerances": (lambda: noiseless(diffrax.Kvaerno5()), "solver: Kvaerno5 at a fixed step needs tolerances"),
    "two drifts": (lambda: noiseless(diffrax.KenCarp4()), "solver: KenCarp4 splits the drift"),
    "Langevin terms": (lambda: fl.Diffrax(linear_sde(), diffrax.ALIGN(), steps=1), "solver: ALIGN takes Langevin terms"),
    "half steps": (lambda: noiseless(diffrax.HalfSolver(diffrax.Tsit5())), "solver: HalfSolver halves the step"),
    "a multistep solver": (lambda: noiseless(diffrax.LeapfrogMidpoint()), "solver: LeapfrogMidpoint needs the step before"),
    "the gradient of a model": (
        lambda: fl.check_gradient(fl.Kalman(), linear_model(), fl.Dataset([1], [[1.0, 2.0]]), key=jax.random.key(0)),
        "problem: family(theta) is needed, got StateSpaceModel",
    ),
    "a learned proposal of several steps": (
        lambda: started(
            fl.ParticleFilter(10, proposal=fl.Learned(fl.Perceptron(2, 2, key=jax.random.key(0)))),
            fl.EulerMaruyama(linear_sde(), steps=3),
        ),
        "transition: Learned needs one substep of Gaussian law, got EulerMaruyama; use Bootstrap()",
    ),
    "steps of a diffusion": (lambda: fl.Diffusion(0), "steps:"),
    "steps of a solver": (lambda: fl.Diffrax(linear_sde(), diffrax.Heun(), steps=0), "steps:"),
    "size": (lambda: fl.ParticleFilter(1), "size:"),
    "prior": (lambda: fl.Parameter(1.0), "prior:"),
    "online EM of a filter": (lambda: fl.OnlineEM(fl.ExtendedKalman(), 0.1), "filter: Kalman is needed, got ExtendedKalman"),
    "online EM without a gain": (lambda: fl.OnlineEM(fl.Kalman(), 0), "gain: a number above 0"),
    "online EM of what moves": (
        lambda: fl.OnlineEM(fl.Kalman(), 0.1).init(regression_family()),
        "dynamics: OnlineEM holds parameters still, ['theta'] move; give a constant gain",
    ),
    "online EM of a gap": (
        lambda: fl.OnlineEM(fl.Kalman(), 0.1).init(stepping_family()),
        "transition: OnlineEM needs LinearDiscrete of arrays, got EulerMaruyama",
    ),
    "a variational learner of substeps": (
        lambda: fl.OnlineVariational(fl.FullRank(), fl.natural_gradient()).init(stepping_family(), key=jax.random.key(0)),
        "transition: OnlineVariational needs one substep of Gaussian law, got EulerMaruyama",
    ),
    "a variational learner of few points": (
        lambda: fl.OnlineVariational(fl.FullRank(), fl.natural_gradient(), size=2).init(
            regression_family(), key=jax.random.key(0)
        ),
        "size: at least 3 points are needed for 1 states, got 2",
    ),
    "an optimiser of guides": (
        lambda: fl.OnlineVariational(fl.FullRank(), fl.natural_gradient(), climb=0.1),
        "climb: an optax transformation is needed, got float",
    ),
    "a ridge of zero": (lambda: fl.KernelRidge(0.0), "ridge: a positive number is needed, got 0.0"),
    "family as model": (lambda: fl.Kalman().init(regression_family()), "problem:"),
    "model as family": (lambda: fl.Joint(fl.ExtendedKalman()).init(linear_model()), "problem:"),
    "kalman inside joint": (lambda: fl.Joint(fl.Kalman()), "filter:"),
    "form": (lambda: fl.Kalman("square root"), "form: MomentForm(), SquareRootForm() or None is needed, got str"),
    "iterated filtering of another kind": (lambda: fl.IteratedFiltering(fl.Kalman(), 3), "filter: ParticleFilter is needed"),
    "the top of what moves": (
        lambda: fl.IteratedFiltering(fl.ParticleFilter(9), 3).maximise(
            regression_family(), fl.Dataset([1], [1.0]), key=jax.random.key(0)
        ),
        "family: ['theta'] move",
    ),
    "a short profile": (lambda: fl.adjusted_profile([1.0, 2.0], [0.0, 1.0]), "values: at least six"),
    "a profile without a top": (
        lambda: fl.adjusted_profile(np.arange(9.0), np.arange(9.0) ** 2),
        "log_evidence: the profile",
    ),
    "a residual that is a number": (
        lambda: fl.EnsembleOptimiser(3).minimise(jnp.sum, jnp.ones(2), 1, key=jax.random.key(0)),
        "residual: a vector is needed",
    ),
    "rank": (lambda: fl.LowRank(fl.Kalman(), 0), "rank: a whole number of at least 1"),
    "particles inside low rank": (lambda: fl.LowRank(fl.ParticleFilter(9), 2), "filter: Kalman, ExtendedKalman"),
    "low rank of a joint motion": (
        lambda: low_rank({("a", "b"): fl.RandomWalk(np.eye(2))}),
        "dynamics: LowRank needs parameters",
    ),
    "low rank of partial forgetting": (
        lambda: low_rank({("a",): fl.Forgetting(1.0)}),
        "dynamics: LowRank needs Forgetting for all",
    ),
    "tangents of histories": (
        lambda: fl.RecursiveMaximumLikelihood(fl.RaoBlackwellised(fl.Kalman(), 9), fl.natural_gradient()),
        "filter: Kalman, ExtendedKalman, SigmaPoint or EnsembleKalman is needed, got RaoBlackwellised",
    ),
    "tangents of particles": (
        lambda: fl.RecursiveMaximumLikelihood(fl.ParticleFilter(9), fl.natural_gradient(), fl.TangentScore()),
        "filter: Kalman, ExtendedKalman, SigmaPoint or EnsembleKalman is needed, got ParticleFilter",
    ),
    "particles of a Gaussian filter": (
        lambda: fl.RecursiveMaximumLikelihood(fl.Kalman(), fl.natural_gradient(), fl.FisherScore()),
        "filter: FisherScore needs a ParticleFilter, got Kalman",
    ),
    "the score of several substeps": (
        lambda: fl.RecursiveMaximumLikelihood(fl.ParticleFilter(9), fl.natural_gradient()).init(
            stepping_family(), key=jax.random.key(0)
        ),
        "transition: FisherScore needs one substep of Gaussian law, got EulerMaruyama; take steps=1 between closer data",
    ),
    "the score of one backward draw": (
        lambda: fl.ParisScore(fl.BackwardSampling(1)),
        "sampler.draws: a whole number of at least 2",
    ),
    "no key": (lambda: fl.ParticleFilter(10).init(linear_model()), "key:"),
    "a bound of zero": (lambda: jumping(bound=0.0), "bound: a positive number"),
    "a bound below the intensity": (lambda: jumping(bound=0.5), "bound: at least the intensity 1.0"),
    "no jumps": (lambda: jumping(most=0), "most:"),
    "a mark without a law": (lambda: jumping(1.0), "mark: a numpyro law"),
    "a mark of another shape": (
        lambda: jumping(dist.Normal(jnp.zeros(3), 1.0)).sample(jnp.zeros(2), 0.0, 1.0, key=jax.random.key(0)),
        "mark: a law of shape (2,)",
    ),
    "a mark without moments": (
        lambda: jumping(dist.TransformedDistribution(dist.Normal(), dist.transforms.SigmoidTransform())).moments(
            jnp.zeros(2), 0.0, 1.0
        ),
        "mark: a law with a mean",
    ),
    "jumps": (lambda: fl.SDE(lambda t, x, u: x, NOISE, 1.0), "jumps: CompoundPoisson"),
    "state-dependent jumps": (lambda: with_jumps(lambda t, x, u: x[0], MARK), "jumps: LinearSDE needs a constant"),
    "state-dependent marks": (lambda: with_jumps(1.0, lambda t, x, u: MARK), "jumps: LinearSDE needs a constant"),
    "jumps in Kalman": (lambda: started(fl.Kalman(), with_jumps(1.0, MARK)), "transition: Kalman needs Gaussian noise"),
    "no jumps in a Gaussian sum": (
        lambda: started(fl.GaussianSum(fl.Kalman(), 3), fl.LinearSDE(MATRIX, NOISE)),
        "transition: GaussianSum needs jumps, got LinearSDE without",
    ),
    "no finite states": (
        lambda: fl.HiddenMarkov().init(linear_model()),
        "transition: HiddenMarkov needs MarkovChain or MarkovProcess, got LinearSDE",
    ),
    "no law of numbers": (
        lambda: fl.HiddenMarkov().init(
            fl.StateSpaceModel(fl.Gaussian([0.0], 1.0), fl.MarkovChain(np.eye(2)), linear_model().observation)
        ),
        "initial: HiddenMarkov needs Initial",
    ),
    "rows of a chain": (lambda: fl.MarkovChain([[0.5, 0.4], [0.0, 1.0]]), "matrix: rows that sum to 1"),
    "rates of a chain": (
        lambda: fl.MarkovProcess([[1.0, -1.0], [0.0, 0.0]]),
        "generator: no negative entry off the diagonal",
    ),
    "no regimes": (
        lambda: fl.Switching(fl.Kalman()).init(linear_model()),
        "transition: Switching needs Switched, got LinearSDE",
    ),
    "regimes of the start": (
        lambda: fl.Switching(fl.Kalman()).init(
            eqx.tree_at(lambda m: m.initial.distribution.probabilities, switching_model(), jnp.ones(3) / 3)
        ),
        "initial: 2 regimes are needed, one for each transition, got 3",
    ),
    "noise that is not normals": (
        lambda: fl.SequentialQuasiMonteCarlo(8).predict(
            eqx.tree_at(
                lambda m: m.transition, linear_model(), jumping(dist.Laplace(jnp.zeros(2), 0.1, validate_args=False))
            ),
            fl.ParticleFilter(8).init(linear_model(), key=jax.random.key(0)),
            1.0,
            key=jax.random.key(0),
        ),
        "transition: SequentialQuasiMonteCarlo needs noise made of normals, got marks that are drawn by a key",
    ),
    "no key for histories": (lambda: fl.RaoBlackwellised(fl.Kalman(), 9).init(switching_model()), "key:"),
    "nothing to draw": (
        lambda: fl.RaoBlackwellised(fl.Kalman(), 9).init(linear_model()),
        "transition: RaoBlackwellised needs Switched or jumps to draw, got LinearSDE without",
    ),
    "not linear given the jumps": (
        lambda: started(fl.RaoBlackwellised(fl.Kalman(), 9), jumping()),
        "transition: Kalman needs a linear one, got EulerMaruyama; use ExtendedKalman",
    ),
    "points inside": (
        lambda: fl.RaoBlackwellised(fl.HiddenMarkov(), 9).init(
            fl.StateSpaceModel(linear_model().initial, with_jumps(1.0, MARK), linear_model().observation)
        ),
        "transition: HiddenMarkov needs",
    ),
    "histories averaged": (
        lambda: fl.RaoBlackwellised(fl.Kalman(), 9, fl.OptimalTransport()),
        "resampler: one that copies is needed, such as Systematic(), got OptimalTransport",
    ),
    "one member": (lambda: fl.EnsembleKalman(1), "size: a whole number of at least 2"),
    "another ensemble's size": (
        lambda: fl.EnsembleKalman(12).predict(
            linear_model(), fl.EnsembleKalman(10).init(linear_model(), key=jax.random.key(0)), 1.0, key=jax.random.key(0)
        ),
        "belief: 12 members are needed, got 10",
    ),
    "a taper of another model": (
        lambda: analysed(fl.Perturbed(fl.Taper(np.ones((3, 2)), np.ones((2, 2)), 1.0))),
        "distance: shape (2, 2) is needed, from each state to each observation, got (3, 2)",
    ),
    "distances of another model": (
        lambda: analysed(fl.Local(np.ones((2, 3)), 1.0)),
        "distance: shape (2, 2) is needed, from each state to each observation, got (2, 3)",
    ),
    "no members": (lambda: fl.GaussianSum(fl.Kalman(), 0), "size:"),
    "counted": (
        lambda: fl.SinceLast(counting().transition, lambda t, x, u: x, counted=[[1.0, 1.0]]),
        "counted: shape (1, 1)",
    ),
    "an auxiliary of nothing": (lambda: fl.Auxiliary(fl.Auxiliary(fl.Guided())), "proposal: Bootstrap(), Guided() or"),
    "guided by substeps": (
        lambda: guided(fl.EulerMaruyama(linear_sde(), steps=3)),
        "transition: Guided needs one substep, got 3",
    ),
    "guided over jumps": (lambda: guided(jumping()), "transition: Guided needs substeps of Gaussian law"),
    "guided by squares": (
        lambda: guided(fl.Milstein(curved(), steps=1)),
        "transition: Guided needs substeps of Gaussian law",
    ),
    "guided by a solver": (
        lambda: guided(fl.Diffrax(linear_sde(), diffrax.ShARK(), steps=1)),
        "transition: Guided needs substeps of Gaussian law",
    ),
    "a bridge since the last datum": (
        lambda: started(fl.ParticleFilter(10, proposal=fl.ModifiedBridge()), counting()),
        "transition: ModifiedBridge needs substeps of Gaussian law, without jumps, got SinceLast",
    ),
    "guided by counts": (
        lambda: fl.Guided().check(
            fl.StateSpaceModel(
                fl.Gaussian([0.0], 1.0),
                fl.LinearDiscrete([[1.0]], [[1.0]]),
                fl.DistributionObservation(lambda t, x, u: dist.Poisson(jnp.exp(x))),
            )
        ),
        "observation: Guided needs a Gaussian one",
    ),
    "substeps bridged inside joint": (
        lambda: fl.Joint(fl.ParticleFilter(10, proposal=fl.ModifiedBridge())).init(stepping_family(), key=jax.random.key(0)),
        "transition: ModifiedBridge needs substeps of Gaussian law",
    ),
    "transition": (lambda: fl.StateSpaceModel(fl.Gaussian([0.0], 1.0), 3, 4), "transition:"),
    "a learner that cannot let go": (lambda: letting_go(fl.OnlineEM(fl.Kalman(), 0.1)), "learner: OnlineEM cannot let go"),
    "particles that stay, let go": (
        lambda: letting_go(fl.Nested(fl.Kalman(), 10, fl.Rejuvenation(5))),
        "move: Rejuvenation is for parameters that stay; take Jitter, LiuWest or None",
    ),
    "all kept": (lambda: fl.Monitored(fl.Joint(fl.ExtendedKalman()), kept=1.0), "kept: a power from 0 to below 1"),
    "alarms at every datum": (lambda: fl.Wager(1.0), "rate: false alarms a datum, between 0 and 1"),
    "changes of what forgets": (
        lambda: fl.ChangePoint(0.1, fl.Forgetting(1.0)),
        "motion: None, RandomWalk or OrnsteinUhlenbeck is needed, got Forgetting",
    ),
    "a bound on what forgets": (
        lambda: fl.tracking_bound(hidden_family(motion=fl.Forgetting(1.0)), fl.Dataset([1.0], [[0.0, 0.0]], [[1.0, 1.0]])),
        "family: a Gaussian law of motion is needed",
    ),
    "a bound on substeps of no law": (
        lambda: fl.tracking_bound(since_last_family(), fl.Dataset([1.0], [0.0])),
        "family: substeps with a Gaussian law are needed, got SinceLast",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_refused_by_name(name):
    make, words = WRONG[name]
    with pytest.raises((ValueError, TypeError), match=re.escape(words)) as caught:
        make()
    assert "\n" not in str(caught.value)


def test_diffuse_start_with_correlated_noise_is_the_limit_of_a_vague_one():
    """The noise of two sensors is decorrelated, not ignored: means agree with a variance of 1e8 to its own order 1e-8."""
    seen = linear_model().observation
    still = fl.LinearDiscrete(jnp.eye(2), 0.1 * jnp.eye(2))
    data = fl.Dataset(np.arange(5.0), [[1.0, 2.0], [NAN, 0.5], [0.3, NAN], [0.1, 0.2], [2.0, 1.0]])
    runs = [
        fl.run(fl.Kalman(), fl.StateSpaceModel(start, still, seen), data)
        for start in (fl.Diffuse(2), fl.Gaussian([0.0, 0.0], 1e8))
    ]
    np.testing.assert_allclose(runs[0].mean, runs[1].mean, atol=1e-6)
    np.testing.assert_allclose(runs[0].log_evidence[1:], runs[1].log_evidence[1:], atol=1e-6)


def test_a_session_refuses_and_keeps_its_belief():
    session = fl.Session(fl.Kalman(), linear_model(), key=jax.random.key(0))
    before = session.observe(1.0, [0.0, 0.1]).mean
    for time, value, words in ((2.0, [INF, 0.0], "value"), (NAN, [0.0, 0.0], "time"), ("noon", [0.0, 0.0], "time")):
        with pytest.raises((ValueError, TypeError), match=words):
            session.observe(time, value)
    np.testing.assert_array_equal(session.belief.mean, before)
    assert session.count == 1


def test_a_checkpoint_of_another_model_is_refused_by_leaf(tmp_path):
    fl.Session(fl.Kalman(), linear_model(), key=jax.random.key(0)).save(tmp_path / "a.npz")
    other = fl.StateSpaceModel(
        fl.Gaussian([0.0], 1.0), fl.LinearDiscrete([[1.0]], [[1.0]]), fl.LinearGaussianObservation([[1.0]], [[1.0]])
    )
    with pytest.raises(ValueError, match="mean"):
        fl.Session.load(tmp_path / "a.npz", fl.Kalman(), other)


def test_parameters_round_trip():
    """Sorted names, C order, a simplex among them."""
    simplex = fl.Parameter(dist.Dirichlet(jnp.ones(3)))
    family = fl.ModelFamily(lambda p: None, {"z": fl.Parameter(dist.HalfNormal(1.0)), "a": simplex})
    values = {"z": jnp.asarray(0.7), "a": jnp.array([0.2, 0.3, 0.5])}
    back = family.constrain(family.unconstrain(values))
    assert family.names == ("a", "z")
    assert family.size == 3
    np.testing.assert_allclose(back["a"], values["a"], atol=1e-12)
    np.testing.assert_allclose(back["z"], values["z"], atol=1e-12)
