"""The registries: one row makes an implementation answer to all the laws of its kind."""

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import optimistix

import filterlearn as fl

MATRIX = jnp.array([[-0.4, 0.3], [-0.2, -0.6]])
NOISE = jnp.array([[0.5, 0.0], [0.2, 0.4]])


def linear_sde():
    return fl.SDE(lambda t, x, u: MATRIX @ x, NOISE)


MARK = dist.Normal(jnp.array([0.3, 0.0]), jnp.array([0.2, 0.0]), validate_args=False)
LAPLACE = dist.Laplace(jnp.array([0.3, 0.0]), jnp.array([0.2, 0.0]), validate_args=False)


def jumping_sde(intensity=1.5, mark=MARK, bound=None):
    return fl.SDE(lambda t, x, u: MATRIX @ x, NOISE, fl.CompoundPoisson(intensity, mark, bound))


def counting(bound=None):
    """A datum's jumps counted in z, 2 per unit time of an Ornstein-Uhlenbeck process."""
    jump = fl.CompoundPoisson(2.0, dist.Normal(jnp.array([0.3]), 0.2), bound, most=12)
    scheme = fl.EulerMaruyama(fl.SDE(lambda t, x, u: -x, jnp.array([0.5]), jump), steps=2)
    return fl.SinceLast(scheme, lambda t, x, u: 0 * x, counted=[[1.0]])


TRANSITIONS = {
    "euler_maruyama": lambda: fl.EulerMaruyama(linear_sde(), steps=3),
    "euler_maruyama_jumps": lambda: fl.EulerMaruyama(jumping_sde(), steps=1),
    "euler_maruyama_laplace_jumps": lambda: fl.EulerMaruyama(jumping_sde(mark=LAPLACE), steps=1),
    "euler_maruyama_thinned_jumps": lambda: fl.EulerMaruyama(
        jumping_sde(lambda t, x, u: 3.0 * jax.nn.sigmoid(x[0]), bound=3.0), steps=3
    ),
    "milstein": lambda: fl.Milstein(fl.SDE(lambda t, x, u: -x, lambda t, x, u: 0.3 * x), steps=3),
    "runge_kutta": lambda: fl.RungeKutta(linear_sde(), steps=3),
    "runge_kutta_thinned_multivariate_jumps": lambda: fl.RungeKutta(
        jumping_sde(1.5, dist.MultivariateNormal(jnp.array([0.3, 0.0]), 0.1 * jnp.eye(2) + 0.05), bound=2.0), steps=3
    ),
    "local_linear": lambda: fl.LocalLinear(linear_sde(), steps=3),
    "local_linear_thinned_jumps": lambda: fl.LocalLinear(jumping_sde(bound=2.0), steps=2),
    "diffrax_euler": lambda: fl.Diffrax(fl.SDE(lambda t, x, u: -x, lambda t, x, u: 0.3 * x), diffrax.Euler(), steps=3),
    "diffrax_heun_thinned_jumps": lambda: fl.Diffrax(jumping_sde(bound=2.0), diffrax.Heun(), steps=3),
    "diffrax_shark": lambda: fl.Diffrax(linear_sde(), diffrax.ShARK(), steps=3),
    "diffrax_shark_jumps": lambda: fl.Diffrax(jumping_sde(), diffrax.ShARK(), steps=1),
    "diffrax_milstein": lambda: fl.Diffrax(
        fl.SDE(lambda t, x, u: -x, lambda t, x, u: 0.3 * x), diffrax.ItoMilstein(), steps=3
    ),
    "diffrax_tsit5": lambda: fl.Diffrax(fl.SDE(lambda t, x, u: MATRIX @ x, np.zeros((2, 0))), diffrax.Tsit5(), steps=2),
    "diffrax_kvaerno5": lambda: fl.Diffrax(
        fl.SDE(lambda t, x, u: MATRIX @ x, np.zeros((2, 0))),
        diffrax.Kvaerno5(root_finder=optimistix.Newton(rtol=1e-10, atol=1e-10)),
        steps=2,
    ),
    "linear_sde": lambda: fl.LinearSDE(MATRIX, NOISE, jnp.array([0.1, -0.2])),
    "linear_sde_jumps": lambda: fl.LinearSDE(MATRIX, NOISE, jumps=fl.CompoundPoisson(1.5, MARK)),
    "linear_sde_laplace_jumps": lambda: fl.LinearSDE(MATRIX, NOISE, jumps=[fl.CompoundPoisson(1.5, LAPLACE)]),
    "discrete": lambda: fl.Discrete(lambda t, x, u: jnp.sin(x), 0.1 * jnp.eye(2)),
    "linear_discrete": lambda: fl.LinearDiscrete(0.9 * jnp.eye(2), 0.1 * jnp.eye(2), jnp.array([0.1, 0.0])),
    "since_last": lambda: fl.SinceLast(
        fl.EulerMaruyama(fl.SDE(lambda t, x, u: -x, jnp.array([0.5])), steps=3), lambda t, x, u: x
    ),
    "since_last_local_linear": lambda: fl.SinceLast(
        fl.LocalLinear(fl.SDE(lambda t, x, u: -x, jnp.array([0.5])), steps=3), lambda t, x, u: x, lambda t, x, u: jnp.eye(1)
    ),
    "since_last_diffrax": lambda: fl.SinceLast(
        fl.Diffrax(fl.SDE(lambda t, x, u: -x, jnp.array([0.5])), diffrax.ShARK(), steps=3),
        lambda t, x, u: x,
        lambda t, x, u: jnp.eye(1),
    ),
    "mixed_linear": lambda: fl.MixedLinear(
        jnp.stack([MATRIX, MATRIX.T]), lambda x: jax.nn.softmax(jnp.stack([x[0], 2 * x[1]])), NOISE
    ),
    "jumps_at_data": lambda: fl.JumpsAtData(fl.RungeKutta(linear_sde(), steps=3), lambda t, x, u: 0.5 * x, reset=1),
    "since_last_counts": counting,
    "since_last_thinned_counts": lambda: counting(bound=3.0),
}
EXACT = ("linear_sde", "linear_sde_jumps")

KEY = jax.random.key(0)


def lyapunov_parts(key, width):
    """A plain network and a function that is to fall along it."""
    return fl.NetworkDrift(2, width=width, pull=0.0, key=key), fl.LyapunovFunction(2, width=width, key=key)


def lyapunov_drift(key=KEY, width=4):
    """Its paths go to the origin."""
    return fl.LyapunovDrift(*lyapunov_parts(key, width))


def stochastic_lyapunov_drift(key=KEY, width=4):
    """Its paths stay about the origin, under a noise that grows."""
    nominal, function = lyapunov_parts(key, width)
    return fl.StochasticLyapunovDrift(fl.SDE(nominal, lambda t, x, u: 0.2 + 0.1 * x), function)


def _grid(side):
    """side^2 points of a square."""
    return np.stack(np.meshgrid(*[np.linspace(-1.5, 1.5, side)] * 2), -1).reshape(-1, 2)


DRIFTS = {  # made with a key and a width: (drift, its states, the length of its inputs)
    "network": (lambda key=KEY, width=4: fl.NetworkDrift(2, inputs=1, width=width, key=key), 2, 1),
    "residual": (
        lambda key=KEY, width=4: fl.ResidualDrift(
            lambda t, x, u: -x, fl.NetworkDrift(2, width=width, depth=2, pull=0.0, key=key)
        ),
        2,
        0,
    ),
    "gaussian_process": (
        lambda key=KEY, width=4: fl.GaussianProcessDrift(_grid(round(width**0.5)), 1.5, pull=1.0, key=key),
        2,
        0,
    ),
    "lipschitz": (lambda key=KEY, width=4: fl.LipschitzDrift(2, inputs=1, width=width, bound=0.5, key=key), 2, 1),
    "gated": (lambda key=KEY, width=4: fl.GatedDrift(2, inputs=1, key=key), 2, 1),
    "antisymmetric": (lambda key=KEY, width=4: fl.AntisymmetricDrift(2, inputs=1, key=key), 2, 1),
    "liquid": (lambda key=KEY, width=4: fl.LiquidDrift(2, inputs=1, width=width, key=key), 2, 1),
    "controlled": (lambda key=KEY, width=4: fl.ControlledDrift(2, inputs=1, width=width, key=key), 2, 1),
    "koopman": (lambda key=KEY, width=4: fl.KoopmanDrift(2, 1, inputs=1, width=width, key=key), 3, 1),
    "second_order": (lambda key=KEY, width=4: fl.SecondOrderDrift(1, inputs=1, width=width, key=key), 2, 1),
    "lyapunov": (lyapunov_drift, 2, 0),
    "stochastic_lyapunov": (stochastic_lyapunov_drift, 2, 0),
    "port_hamiltonian": (lambda key=KEY, width=4: fl.PortHamiltonianDrift(2, inputs=1, width=width, key=key), 2, 1),
    "hamiltonian": (lambda key=KEY, width=4: fl.HamiltonianDrift(1, width=width, damping=0.2, key=key), 2, 0),
    "lagrangian": (lambda key=KEY, width=4: fl.LagrangianDrift(1, inputs=1, width=width, damping=0.2, key=key), 2, 1),
    "constrained": (
        lambda key=KEY, width=4: fl.ConstrainedDrift(
            2, lambda q: q[:1] - 0.5 * q[1:] - 1.0, width=width, damping=0.2, key=key
        ),
        4,
        0,
    ),
    "contracting": (lambda key=KEY, width=4: fl.ContractingDrift(2, inputs=1, width=width, key=key), 2, 1),
}
DIFFUSIONS = {  # of two states and one input
    "diagonal": lambda: fl.DiagonalDiffusion(2, inputs=1, width=4, floor=0.1, key=KEY),
    "cholesky": lambda: fl.CholeskyDiffusion(2, inputs=1, width=4, floor=0.1, key=KEY),
    "low_rank": lambda: fl.LowRankDiffusion(2, 1, inputs=1, width=4, floor=0.1, key=KEY),
}
TRANSITIONS |= {
    "symplectic": lambda: fl.Symplectic(fl.SDE(DRIFTS["hamiltonian"][0](), NOISE), steps=3),
    "bilinear": lambda: fl.Bilinear(MATRIX, NOISE, jnp.array([0.1, -0.2]), steps=3),
    "closed_form": lambda: fl.ClosedForm(2, [0.3, 0.2], width=4, key=KEY),
}

OBSERVATIONS = {
    "linear_gaussian": lambda: fl.LinearGaussianObservation([[1.0, 0.5]], [[0.3]], [0.2]),
    "gaussian": lambda: fl.GaussianObservation(lambda t, x, u: x[:1] ** 2, jnp.array([[0.3]])),
    "distribution": lambda: fl.DistributionObservation(lambda t, x, u: dist.StudentT(5.0, x[0], 0.5)),
}

POINT_PROCESSES = {"point_process": lambda: fl.PointProcess(lambda t, x, u: jnp.exp(x))}  # held to oracles of their own

DYNAMICS = {
    "static": fl.Static,
    "random_walk": lambda: fl.RandomWalk(0.3),
    "ornstein_uhlenbeck": lambda: fl.OrnsteinUhlenbeck(2.0, 0.5),
    "forgetting": lambda: fl.Forgetting(10.0),
    "change_point": lambda: fl.ChangePoint(0.3, fl.OrnsteinUhlenbeck(2.0, 0.5)),
}

QUADRATURES = {  # with the degree up to which each is exact
    "cubature": (fl.Cubature, 3),
    "unscented": (lambda: fl.Unscented(0.8, 0.0, 1.0), 3),
    "gauss_hermite": (lambda: fl.GaussHermite(4), 7),
}

SCORES = {"tangent": fl.TangentScore, "fisher": fl.FisherScore, "paris": fl.ParisScore}

FORMS = {"moment": fl.MomentForm, "square_root": fl.SquareRootForm}

RESAMPLERS = {  # of copies, whose expected numbers are N w
    "multinomial": fl.Multinomial,
    "systematic": fl.Systematic,
    "stratified": fl.Stratified,
    "residual": fl.Residual,
    "adaptive": lambda: fl.Adaptive(fl.Systematic(), 1.1),
    "ordered": lambda: fl.Ordered(fl.Systematic(), by=lambda point: -jnp.sum(point)),
    "stop_gradient": lambda: fl.StopGradient(fl.Systematic()),
}
SMOOTH_RESAMPLERS = {  # of other points, or with weights left over
    "soft": lambda: fl.Soft(fl.Systematic(), 0.3),
    "regularised": lambda: fl.Regularised(fl.Systematic(), 0.5),
    "optimal_transport": fl.OptimalTransport,
    "diffusion": fl.Diffusion,
}


def over(devices):
    """So many of them in a row."""
    return jax.make_mesh((devices,), ("devices",), axis_types=(jax.sharding.AxisType.Auto,))


def linear_model():
    """A2: two states, two sensors, irregular times."""
    observation = fl.LinearGaussianObservation([[1.0, 0.5], [0.0, 1.0]], [[0.3, 0.05], [0.05, 0.2]])
    start = fl.Gaussian([1.0, -1.0], [[0.5, 0.1], [0.1, 0.4]], time=0.0)
    return fl.StateSpaceModel(start, fl.LinearSDE(MATRIX, NOISE, jnp.array([0.1, -0.2])), observation)


def linear_data(length=150, missing=0.2):
    """Irregular times, one of them twice, a fifth of the entries missing."""
    rng = np.random.default_rng(7)
    times = np.cumsum(rng.uniform(0.05, 0.6, length))
    times[10] = times[9]
    values = rng.normal(size=(length, 2))
    values[rng.uniform(size=values.shape) < missing] = np.nan
    values[5] = np.nan
    return fl.Dataset(times, values)


def driven_model():
    """The same, with every part but the drift matrix moved by time and by one input."""
    model = linear_model()
    transition = fl.LinearSDE(
        MATRIX, lambda t, u: (1 + 0.5 * jnp.sin(t)) * NOISE, lambda t, u: jnp.stack([jnp.cos(t), -0.5 * u[0]])
    )
    seen = model.observation
    observation = fl.LinearGaussianObservation(
        lambda t, u: seen.matrix * (1 + 0.3 * u[0]),
        lambda t, u: seen.covariance * (1 + 0.5 * jnp.cos(t) ** 2),
        lambda t, u: jnp.stack([u[0], jnp.sin(t)]),
    )
    return fl.StateSpaceModel(model.initial, transition, observation)


def driven_data(length=150):
    """The times and values of `linear_data`, with inputs."""
    data = linear_data(length)
    return fl.Dataset(data.times, data.values, np.random.default_rng(8).normal(size=(length, 1)))


LINEAR_PROBLEMS = {"linear": (linear_model, linear_data), "driven": (driven_model, driven_data)}

POINTS = np.random.default_rng(5).normal(size=(500, 3)) @ np.array([[1.0, 0.3, 0.0], [0.0, 0.7, -0.2], [0.0, 0.0, 0.4]])
LOG_WEIGHTS = jnp.log(jnp.arange(1.0, 501.0) / jnp.sum(jnp.arange(1.0, 501.0)))
NORMAL = fl.Gaussian([1.0, -1.0, 0.5], np.cov(POINTS.T), time=0.0)

BELIEFS = {
    "gaussian": lambda: NORMAL,
    "square_root": lambda: fl.SquareRootGaussian(NORMAL.mean, NORMAL.factor, NORMAL.time),
    "diffuse": lambda: fl.DiffuseGaussian(NORMAL.mean, NORMAL.covariance, jnp.zeros((3, 3)), NORMAL.time),
    "ensemble": lambda: fl.Ensemble(jnp.asarray(POINTS), NORMAL.time),
    "particles": lambda: fl.Particles(jnp.asarray(POINTS), LOG_WEIGHTS, NORMAL.time),
    "mixture": lambda: fl.Mixture(
        jax.vmap(lambda m, c: fl.Gaussian.of(m, c * NORMAL.covariance, NORMAL.time))(
            NORMAL.mean + jnp.eye(3), jnp.array([1.0, 0.5, 2.0])
        ),
        jnp.arange(3)[:, None],
        jnp.log(jnp.array([0.2, 0.3, 0.5])),
        NORMAL.time,
    ),
    "particles_with_lineage": lambda: fl.Particles(
        jnp.asarray(POINTS), LOG_WEIGHTS, NORMAL.time, fl.Lineage(*(jnp.arange(500),) * 3)
    ),
    "low_rank": lambda: fl.LowRankGaussian(
        NORMAL.mean, jnp.array([1.0, 2.0, 4.0]), jnp.array([[1.0], [-2.0], [0.5]]), NORMAL.time
    ),
    "joint": lambda: fl.JointBelief(NORMAL, 2),
    "recurrent": lambda: fl.Recurrent(NORMAL, ()),
    "tangent": lambda: fl.TangentBelief(NORMAL, NORMAL, jax.tree.map(lambda leaf: jnp.stack([leaf] * 3), NORMAL), ()),
    "lagged": lambda: fl.FixedLag(fl.Kalman(fl.MomentForm()), 2).init(
        fl.StateSpaceModel(NORMAL, fl.LinearDiscrete(np.eye(3), np.eye(3)), OBSERVATIONS["linear_gaussian"]())
    ),
    "bank": lambda: fl.BankBelief(
        jax.vmap(lambda m: fl.JointBelief(eqx.tree_at(lambda b: b.mean, NORMAL, m), 2))(NORMAL.mean + jnp.eye(3)),
        jnp.log(jnp.array([0.2, 0.3, 0.5])),
        NORMAL.time,
    ),
    "recollecting": lambda: fl.RecollectingBelief(NORMAL, NORMAL, ()),
    "monitored": lambda: fl.MonitoredBelief(fl.JointBelief(NORMAL, 2), jnp.zeros(3)),
    "nested": lambda: fl.NestedBelief(
        fl.Particles(jnp.asarray(POINTS), LOG_WEIGHTS, NORMAL.time),
        jax.vmap(lambda m: eqx.tree_at(lambda b: b.mean, NORMAL, m))(jnp.asarray(POINTS)),
        NORMAL.time,
        fl.Record(fl.History.empty(2, fl.Datum(NORMAL.time, jnp.zeros(1))), jnp.zeros(500), jnp.zeros(()), jnp.zeros(())),
    ),
}

EXACT_FILTERS = {  # on a linear-Gaussian model
    "kalman": fl.Kalman,
    "extended_kalman": fl.ExtendedKalman,
    "cubature": fl.SigmaPoint,
    "variational": lambda: fl.VariationalFilter(fl.SigmaPoint(), fl.Cubature(), 2),
}
EXACT_SETTINGS = {  # of the same filters: held to the exact answers only
    "iterated_extended_kalman": lambda: fl.ExtendedKalman(3),
    "unscented": lambda: fl.SigmaPoint(fl.Unscented(1.0, 2.0, 0.5)),
    "posterior_linearisation": lambda: fl.SigmaPoint(iterations=3),
    "parallel_kalman": fl.ParallelKalman,
    "kalman_square_root": lambda: fl.Kalman(fl.SquareRootForm()),
    "iterated_square_root": lambda: fl.ExtendedKalman(2, fl.SquareRootForm()),
    "sigma_point_square_root": lambda: fl.SigmaPoint(form=fl.SquareRootForm()),
}
SAMPLING_FILTERS = {
    "ensemble_kalman": lambda: fl.EnsembleKalman(500),
    "particle": lambda: fl.ParticleFilter(2000),
}
FILTERS = EXACT_FILTERS | SAMPLING_FILTERS
LEARNED_FILTERS = {  # held to oracles of their own
    "kalman_net": lambda: fl.KalmanNet(fl.ExtendedKalman(), fl.GainNetwork(2, 2, key=jax.random.key(0)))
}
PARTED_FILTERS = {  # held to the one inside, on two devices
    "over_devices": lambda: fl.OverDevices(fl.EnsembleKalman(40), over(1)),
}
QUASI_FILTERS = {"quasi_monte_carlo": lambda: fl.SequentialQuasiMonteCarlo(64)}  # held to oracles of their own
CHAIN = np.array([[0.8, 0.15, 0.05], [0.1, 0.7, 0.2], [0.3, 0.0, 0.7]])
FINITE = {"markov_chain": lambda: fl.MarkovChain(CHAIN), "markov_process": lambda: fl.MarkovProcess(CHAIN - np.eye(3))}


def switching_model():
    """A level that is calm, or noisy and drawn elsewhere, and is seen worse then."""
    regimes = [fl.LinearSDE([[-0.5]], [[0.3]]), fl.LinearSDE([[-0.2]], [[1.0]], [0.6])]
    seen = [fl.LinearGaussianObservation([[1.0]], [[r]], [d]) for r, d in ((0.1, 0.0), (0.5, 0.4))]
    switched = fl.Switched(fl.MarkovProcess([[-0.4, 0.4], [0.7, -0.7]]), regimes)
    start = fl.Initial(fl.RegimeStart([0.3], [[0.2]], [0.7, 0.3]), 0.0)
    return fl.StateSpaceModel(start, switched, fl.SwitchedObservation(seen))


SWITCHING = {"switched": switching_model}
MIXTURE_FILTERS = {  # of models that jump or switch
    "gaussian_sum": lambda: fl.GaussianSum(fl.Kalman(), 4),
    "hidden_markov": fl.HiddenMarkov,
    "parallel_hidden_markov": fl.ParallelHiddenMarkov,
    "interacting_models": lambda: fl.Switching(fl.Kalman()),
    "pairs_of_regimes": lambda: fl.Switching(fl.Kalman(), fl.PairsOfRegimes()),
    "rao_blackwellised": lambda: fl.RaoBlackwellised(fl.Kalman(), 20),
}


def apart(scale, share=0.0):
    """Steps driven by time and an input, seen by two sensors whose noises are independent."""
    step = fl.LinearDiscrete(
        lambda t, u: 0.8 * jnp.eye(2) + 0.2 * jnp.sin(t) * MATRIX,
        lambda t, u: scale**2 * (1 + 0.5 * jnp.sin(t)) * jnp.array([[0.3, 0.1], [0.1, 0.2]]),
        lambda t, u: jnp.stack([jnp.cos(t), -0.5 * u[0]]),
    )
    seen = fl.LinearGaussianObservation(
        lambda t, u: jnp.array([[1.0, 0.5], [0.0, 1.0]]) * (1 + 0.3 * u[0]),
        lambda t, u: jnp.diag(jnp.stack([0.3 + 0.1 * u[0] ** 2, 0.2 + 0.1 * jnp.cos(t)])),
        lambda t, u: jnp.stack([u[0], jnp.sin(t)]),
    )
    return fl.StateSpaceModel(fl.Gaussian([1.0, -1.0], [[0.5, 0.1], [0.1, 0.4]], time=0.0), step, seen)


def jumping(scale, share):
    """A Brownian motion seen in the same way, that jumps `share` times in each unit of time."""
    model, jumps = apart(scale), fl.CompoundPoisson(share, MARK, most=2)
    moved = fl.LinearSDE(
        np.zeros((2, 2)), lambda t, u: scale * (1 + u[0] ** 2) * NOISE, lambda t, u: jnp.stack([t, u[0]]), jumps
    )
    return fl.StateSpaceModel(model.initial, moved, model.observation)


def switching(scale, share):
    """The same with a second regime, which differs by `share`; the chance of it moves with time and input."""
    one, two = apart(scale), apart((1 + share) * scale)
    chain = fl.MarkovChain(
        lambda t, u: jnp.array([[0.5, 0.5], [0.5, 0.5]]) + jnp.array([[0.3, -0.3], [-0.2, 0.2]]) * jnp.cos(t + u[0])
    )
    start = fl.RegimeStart(one.initial.mean, one.initial.covariance, [0.6, 0.4])
    return fl.StateSpaceModel(
        fl.Initial(start, 0.0),
        fl.Switched(chain, [one.transition, two.transition]),
        fl.SwitchedObservation([one.observation]),
    )


def finite(scale, share):
    """Three states, seen by two sensors through an input; the chance to move depends on time and input."""
    chain = fl.MarkovChain(lambda t, u: jnp.eye(3) + jax.nn.sigmoid(jnp.sin(t) + u[0]) * (CHAIN - jnp.eye(3)))
    seen = lambda t, x, u: dist.Normal(jnp.stack([x[0] - u[0], -x[0]]), scale * jnp.array([0.8, 0.6]))  # noqa: E731
    start = fl.Initial(dist.Categorical(jnp.array([0.5, 0.2, 0.3])), 0.0)
    return fl.StateSpaceModel(start, chain, fl.DistributionObservation(seen))


WIDER = {  # of models that time and inputs drive: of a scale of their noise, and of the share of what is not linear in them
    "parallel_kalman": (fl.ParallelKalman, apart),
    "gaussian_sum": (lambda: fl.GaussianSum(fl.Kalman(), 2), jumping),
    "interacting_models": (MIXTURE_FILTERS["interacting_models"], switching),
    "pairs_of_regimes": (MIXTURE_FILTERS["pairs_of_regimes"], switching),
    "hidden_markov": (fl.HiddenMarkov, finite),
    "parallel_hidden_markov": (fl.ParallelHiddenMarkov, finite),
}


PROPOSALS = {
    "bootstrap": fl.Bootstrap,
    "guided": fl.Guided,
    "guided_unscented": lambda: fl.Guided(fl.Unscented()),
    "learned": lambda: fl.Learned(fl.Perceptron(2, 2, key=jax.random.key(0))),
    "auxiliary_bootstrap": lambda: fl.Auxiliary(fl.Bootstrap()),
    "auxiliary_guided": lambda: fl.Auxiliary(fl.Guided()),
}
BRIDGES = {"modified_bridge": fl.ModifiedBridge, "residual_bridge": fl.ResidualBridge}  # of one step they are guided
GENEALOGIES = {
    "at_every_datum": lambda: fl.Genealogy(fl.ParticleFilter(100, fl.Multinomial())),
    "adaptive_guided": lambda: fl.Genealogy(fl.ParticleFilter(100, fl.Adaptive(fl.Multinomial()), fl.Guided())),
}


SMOOTHERS = {  # each with its filter
    "rauch_tung_striebel_square_root": lambda: (
        fl.RauchTungStriebel(fl.Kalman(fl.SquareRootForm())),
        fl.Kalman(fl.SquareRootForm()),
    ),
    "rauch_tung_striebel": lambda: (fl.RauchTungStriebel(fl.Kalman()), fl.Kalman()),
    "parallel_rauch_tung_striebel": lambda: (fl.ParallelRauchTungStriebel(fl.Kalman()), fl.Kalman()),
    "rauch_tung_striebel_extended": lambda: (fl.RauchTungStriebel(fl.ExtendedKalman()), fl.ExtendedKalman()),
    "rauch_tung_striebel_sigma_point": lambda: (fl.RauchTungStriebel(fl.SigmaPoint()), fl.SigmaPoint()),
}


PATH_SMOOTHERS = {  # each with its filter of a size
    "backward_sampling": lambda size=200: (fl.BackwardSampling(50), fl.ParticleFilter(size)),
    "backward_rejection": lambda size=200: (fl.BackwardRejection(50), fl.ParticleFilter(size)),
    "backward_metropolis": lambda size=200: (
        fl.BackwardMetropolis(50),
        fl.Genealogy(fl.ParticleFilter(size, fl.Adaptive(fl.Multinomial()))),
    ),
    "gaussian_paths": lambda size=200: (fl.GaussianPaths(fl.Kalman(), 50), fl.Kalman()),
    "ensemble_rauch_tung_striebel": lambda size=200: (
        fl.EnsembleRauchTungStriebel(fl.EnsembleKalman(size)),
        fl.EnsembleKalman(size),
    ),
}
LAGGED = {  # with how the filter is smoothed afterwards
    "kalman": lambda: (fl.FixedLag(fl.Kalman(), 4), fl.RauchTungStriebel(fl.Kalman())),
    "square_root": lambda: (
        fl.FixedLag(fl.Kalman(fl.SquareRootForm()), 4),
        fl.RauchTungStriebel(fl.Kalman(fl.SquareRootForm())),
    ),
    "sigma_point": lambda: (fl.FixedLag(fl.SigmaPoint(), 4), fl.RauchTungStriebel(fl.SigmaPoint())),
}
LAGGED_SAMPLES = {  # of a size
    "particle": lambda size=100: fl.FixedLag(fl.ParticleFilter(size), 4),
    "ensemble": lambda size=100: fl.FixedLag(fl.EnsembleKalman(size), 4),
}


def regression_family():
    """A6: y = u'theta + e, theta a random walk; no state to speak of."""

    def build(p):
        still = fl.LinearDiscrete([[0.0]], [[0.0]])
        seen = fl.LinearGaussianObservation([[0.0]], [[1.0]], lambda t, u: (u @ p["theta"])[None])
        return fl.StateSpaceModel(fl.Gaussian([0.0], 0.0, time=0.0), still, seen)

    return fl.ModelFamily(build, {"theta": fl.Parameter(dist.Normal(jnp.zeros(3), 1.0), fl.RandomWalk(0.1))})


HIDDEN_NOISE = np.array([[0.5, 0.1], [0.1, 0.4]])


class Hidden(eqx.Module):
    """A hidden level x, seen by two sensors, or some of them, the first through a moving regression:
    y = (x + u'theta, x) + e."""

    noise: jax.Array
    sensors: tuple[int, ...] = eqx.field(static=True)

    def __call__(self, p):
        kept = np.array(self.sensors)
        level = fl.LinearSDE([[-0.5]], [[0.6]])
        offset = lambda t, u: jnp.append(u @ p["theta"], jnp.zeros_like(t))[kept]  # noqa: E731
        seen = fl.LinearGaussianObservation(np.ones((len(kept), 1)), self.noise[np.ix_(kept, kept)], offset)
        return fl.StateSpaceModel(fl.Gaussian([0.2], 0.4, time=0.0), level, seen)


def hidden_family(sensors=(0, 1), motion=None):
    """The family of `Hidden`, which moves unless told otherwise; its noise and the scale of its motion are leaves."""
    motion = motion or fl.RandomWalk(jnp.asarray(0.3))
    prior = dist.Normal(jnp.array([0.5, -0.5]), 1.0)
    return fl.ModelFamily(Hidden(jnp.asarray(HIDDEN_NOISE), sensors), {"theta": fl.Parameter(prior, motion)})


def hidden_model():
    """The same as one linear-Gaussian model of (x, theta)."""
    seen = fl.LinearGaussianObservation(
        lambda t, u: jnp.stack([jnp.append(1.0, u), jnp.append(1.0, jnp.zeros_like(u))]), HIDDEN_NOISE
    )
    start = fl.Gaussian([0.2, 0.5, -0.5], np.diag([0.4, 1.0, 1.0]), time=0.0)
    return fl.StateSpaceModel(start, fl.LinearSDE(np.diag([-0.5, 0.0, 0.0]), np.diag([0.6, 0.3, 0.3])), seen)


WIDE = np.array(
    [[0.0, 2.0, 4.0], [1.0, 1.0, 3.0], [2.0, 0.0, 2.0], [3.0, 1.0, 1.0], [4.0, 2.0, 0.0]]
)  # five states, three sensors
APART = np.array([[0.0, 2.0, 4.0], [2.0, 0.0, 2.0], [4.0, 2.0, 0.0]])
# name: (analysis, the variance it gives a standardised ensemble of ten after a datum at its mean with R = 1; None: made for
# five states, or random)
ANALYSES = {
    "perturbed": (fl.Perturbed, None),
    "perturbed_tapered": (lambda: fl.Perturbed(fl.Taper(WIDE, APART, 1e6)), None),
    "transform": (fl.Transform, 0.5),
    "deterministic": (fl.Deterministic, 0.5625),
    "serial": (fl.Serial, 0.5),
    "serial_tapered": (lambda: fl.Serial(fl.Taper(WIDE, APART, 1e6)), None),
    "local": (lambda: fl.Local(WIDE, 1e6), None),
    "finite_size": (fl.FiniteSize, 0.99 / 1.99),  # the prior's mode of l^2 is (1 + 1/N) (N - 1) / N
    "iterative": (fl.Iterative, 0.5),
    "rotated": (lambda: fl.Rotated(fl.Transform()), 0.5),
}
SQUARE_ROOTS = (
    "transform",
    "serial",
    "serial_tapered",
    "local",
    "iterative",
    "rotated",
)  # Kalman's mean and covariance, exactly

INFLATIONS = {
    "multiplicative": lambda: fl.Multiplicative(1.1),
    "relax_to_perturbations": lambda: fl.RelaxToPerturbations(0.4),
    "relax_to_spread": lambda: fl.RelaxToSpread(0.4),
    "adaptive": lambda: fl.AdaptiveInflation(0.3),
}


def walking(family, scale):
    """The family with another scale of motion of theta."""
    return eqx.tree_at(lambda f: f.parameters["theta"].dynamics.scale, family, scale)


# name: (learner, what its squared error of the parameters may be over the exact posterior variance)
LEARNERS = {
    "joint_extended": (lambda: fl.Joint(fl.ExtendedKalman()), 1 + 1e-9),
    "joint_sigma_point": (lambda: fl.Joint(fl.SigmaPoint()), 1 + 1e-9),
    "joint_ensemble": (lambda: fl.Joint(fl.EnsembleKalman(100)), 1.15),
    "joint_particle": (lambda: fl.Joint(fl.ParticleFilter(1000)), 1.15),
    "recursive_kalman": (lambda: fl.RecursiveMaximumLikelihood(fl.Kalman(), fl.natural_gradient()), 1.05),
    "recursive_particle": (lambda: fl.RecursiveMaximumLikelihood(fl.ParticleFilter(100), fl.natural_gradient()), 1.15),
    "bank": (lambda: fl.Bank(fl.Joint(fl.ExtendedKalman()), walking, jnp.geomspace(0.05, 0.6, 5), 1e-3), 1.5),
    "low_rank_ensemble": (lambda: fl.LowRank(fl.EnsembleKalman(100), 2), 1.15),
    "monitored": (lambda: fl.Monitored(fl.Joint(fl.ExtendedKalman()), fl.Wager(1e-6), 0.0), 1 + 1e-9),
    "nested_kalman": (lambda: fl.Nested(fl.Kalman(), 100, move=None), 1.15),
    "nested_extended": (lambda: fl.Nested(fl.ExtendedKalman(), 100, move=None), 1.15),
    "nested_ensemble": (lambda: fl.Nested(fl.EnsembleKalman(30), 100, move=None), 1.15),
    "nested_particle": (lambda: fl.Nested(fl.ParticleFilter(30), 100, move=None), 1.15),
}


def slope_family():
    """A level x' = theta_0 x + theta_1 + e, seen by the two sensors of `hidden_family`; theta is still."""

    def build(p):
        level = fl.LinearDiscrete(p["theta"][None, :1], [[0.3]], p["theta"][1:])
        seen = fl.LinearGaussianObservation(np.ones((2, 1)), HIDDEN_NOISE)
        return fl.StateSpaceModel(fl.Gaussian([0.2], 0.4, time=0.0), level, seen)

    return fl.ModelFamily(build, {"theta": fl.Parameter(dist.Normal(jnp.array([0.5, 0.0]), 1.0))})


def equal_gain(count):
    """Every datum counts alike."""
    return 1.0 / (count + 1.0)


NARROW_LEARNERS = {  # of some families only, each with one
    "online_em": (lambda: fl.OnlineEM(fl.Kalman(), equal_gain), slope_family),
    "online_variational": (
        lambda: fl.OnlineVariational(fl.FullRank(), fl.natural_gradient(), iterations=10, draws=4, size=12),
        slope_family,
    ),
}
GUIDES = {"full_rank": fl.FullRank, "mean_field": fl.MeanField, "network": lambda: fl.NetworkGuide(16)}
REGRESSIONS = {"polynomial": fl.Polynomial, "kernel_ridge": fl.KernelRidge}

STILL_LEARNERS = {  # of parameters that stay, with two inputs and up to ten data
    "nested_rejuvenation": lambda: fl.Nested(fl.Kalman(), 100, fl.Rejuvenation(10, inputs=np.zeros(2))),
}

MOVES = {  # with the covariance that an equally weighted, resampled cloud has after the move, given its own and the prior's
    "jitter": (lambda: fl.Jitter(0.5), lambda own, prior: own + 0.25 * prior),
    "liu_west": (lambda: fl.LiuWest(0.9), lambda own, prior: own),
}


def seen_path(seed, length):
    """A damped, driven path of two states and what disturbs it, at equal gaps of .1."""
    rng = np.random.default_rng(seed)
    times = 0.1 * np.arange(length)
    angle = times[:, None] + np.array([0.0, 1.0])
    return fl.Dataset(times, np.sin(angle) + 0.05 * rng.normal(size=(length, 2)))


def pulled(module):
    """dx = w x dt + .3 dW from x_0 ~ N(0, 1), seen with noise."""
    sde = fl.SDE(lambda t, x, u: module["w"] @ x, jnp.full(2, 0.3))
    seen = fl.LinearGaussianObservation(jnp.eye(2), 0.1 * jnp.eye(2))
    return fl.StateSpaceModel(fl.Gaussian([0.0, 0.0], 1.0), fl.EulerMaruyama(sde, steps=2), seen)


def towards(module, series):
    """A guide: starts where the module says, and is pulled towards a mean of the data."""
    level = jnp.nanmean(series.values, axis=0)
    start = fl.Gaussian(module["start"], 0.2 * jnp.eye(2))
    return start, lambda t, x, u: module["w"] @ x + module["gain"] * (level - x)


def module_of_objectives():
    return {"w": -0.5 * jnp.eye(2), "start": jnp.zeros(2), "gain": jnp.array(0.1)}


def seen_paths():
    return [seen_path(0, 12), seen_path(1, 9)]


def drift_of(module):
    return lambda t, x, u: module["w"] @ x + module["start"]


OBJECTIVES = {  # with a module, and series
    "evidence": lambda: (fl.Evidence(pulled, fl.ExtendedKalman()), module_of_objectives(), seen_paths()),
    "path_bound": lambda: (fl.PathBound(pulled, towards, 2), module_of_objectives(), seen_paths()),
    "importance_bound": lambda: (fl.ImportanceBound(pulled, towards, 3), module_of_objectives(), seen_paths()),
    "quasi_likelihood": lambda: (
        fl.QuasiLikelihood(lambda module: fl.SDE(drift_of(module), module["gain"] * jnp.ones(2))),
        module_of_objectives(),
        seen_paths(),
    ),
    "weak_form": lambda: (fl.WeakForm(drift_of, 5), module_of_objectives(), seen_paths()),
}
STATE_OBJECTIVES = {  # of a filter, on true states: held to oracles of their own
    "state_error": lambda: fl.StateError(pulled(module_of_objectives())),
    "state_density": lambda: fl.StateDensity(pulled(module_of_objectives())),
}
