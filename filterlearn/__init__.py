"""filterlearn: probabilistic filtering and online learning of stochastic differential equations whose parameters move."""

from importlib import import_module

_HOME = {
    "inputs": "AbstractInputs Held Linear",
    "data": "Datum Dataset",
    "beliefs.gaussian": "Gaussian SquareRootGaussian DiffuseGaussian",
    "beliefs.ensemble": "Ensemble",
    "beliefs.particles": "Particles",
    "beliefs.mixture": "Mixture",
    "beliefs.joint": "BankBelief JointBelief NestedBelief TangentBelief",
    "models.base": "StateSpaceModel Initial Diffuse AbstractTransition AbstractGaussianTransition AbstractLinearTransition "
    "AbstractJumping AbstractObservation AbstractGaussianObservation",
    "models.jumps": "CompoundPoisson",
    "models.sde": "SDE",
    "models.family": "Parameter ModelFamily BoundFamily",
    "models.simulate": "simulate",
    "models.transitions.euler_maruyama": "EulerMaruyama",
    "models.transitions.milstein": "Milstein",
    "models.transitions.runge_kutta": "RungeKutta",
    "models.transitions.local_linear": "LocalLinear",
    "models.transitions.diffrax": "Diffrax",
    "models.transitions.linear_sde": "LinearSDE",
    "models.transitions.discrete": "Discrete LinearDiscrete",
    "models.transitions.since_last": "SinceLast",
    "models.observations.linear_gaussian": "LinearGaussianObservation",
    "models.observations.gaussian": "GaussianObservation",
    "models.observations.distribution": "DistributionObservation",
    "models.parameter_dynamics.static": "Static",
    "models.parameter_dynamics.random_walk": "RandomWalk",
    "models.parameter_dynamics.ornstein_uhlenbeck": "OrnsteinUhlenbeck",
    "models.parameter_dynamics.forgetting": "Forgetting",
    "resamplers.multinomial": "Multinomial",
    "resamplers.systematic": "Systematic",
    "resamplers.stratified": "Stratified",
    "resamplers.residual": "Residual",
    "resamplers.soft": "Soft",
    "resamplers.regularised": "Regularised",
    "resamplers.optimal_transport": "OptimalTransport",
    "resamplers.adaptive": "Adaptive",
    "resamplers.ordered": "Ordered",
    "resamplers.stop_gradient": "StopGradient",
    "quadratures.base": "AbstractQuadrature",
    "quadratures.cubature": "Cubature",
    "quadratures.gauss_hermite": "GaussHermite",
    "quadratures.unscented": "Unscented",
    "forms.base": "Corrected Passage",
    "forms.moment": "MomentForm",
    "forms.square_root": "SquareRootForm",
    "protocol": "Info Trajectory Forecast step run forecast log_evidence",
    "filters.kalman": "Kalman",
    "filters.parallel_kalman": "ParallelKalman",
    "filters.extended_kalman": "ExtendedKalman",
    "filters.sigma_point": "SigmaPoint",
    "filters.gaussian_sum": "GaussianSum",
    "filters.variational": "VariationalFilter",
    "filters.ensemble_kalman": "EnsembleKalman",
    "analyses.base": "AbstractAnalysis Innovation Taper",
    "analyses.local": "Local",
    "analyses.serial": "Serial",
    "analyses.perturbed": "Perturbed",
    "analyses.transform": "Transform",
    "analyses.deterministic": "Deterministic",
    "analyses.finite_size": "FiniteSize",
    "analyses.rotated": "Rotated",
    "filters.particle": "ParticleFilter",
    "smoothers.base": "Smoothed smooth",
    "smoothers.rauch_tung_striebel": "RauchTungStriebel",
    "learners.bank": "Bank",
    "learners.joint": "Joint",
    "learners.nested": "Nested Jitter LiuWest",
    "learners.recursive_ml": "RecursiveMaximumLikelihood natural_gradient",
    "diagnostics.log": "Report",
    "diagnostics.results": "to_datatree",
    "diagnostics.step_size": "check_step_size StepSizeReport",
    "posteriors.base": "Target",
    "posteriors.condition": "condition",
    "posteriors.fit": "fit",
    "posteriors.blackjax": "NUTS",
    "posteriors.numpyro": "NumPyroNUTS",
    "posteriors.particle_mcmc": "ParticleMCMC",
    "streams.session": "Session",
}
_WHERE = {name: module for module, names in _HOME.items() for name in names.split()}
__all__ = sorted(_WHERE)  # noqa: PLE0605


def __getattr__(name):
    if name not in _WHERE:
        raise AttributeError(f"module 'filterlearn' has no attribute {name!r}")
    return getattr(import_module(f"filterlearn.{_WHERE[name]}"), name)


def __dir__():
    return __all__
