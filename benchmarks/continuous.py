"""W4: continuous-discrete filters of a noisy Lorenz-63, seen whole at 500 irregular times."""

import functools

import numpy as np

from benchmarks.case import Case, jitted

WIDE = True
MEMBERS, STEPS, FINE = 30, 8, 64
START, VARIANCE = np.array([1.509, -1.531, 25.46]), 2.0
KNOWN = {"extended": (-2391.97, 0.5), "unscented": (-2401.2, 0.5), "ensemble": (-2415.0, 15.0)}  # and how near
TARGETS = {"extended": (2.0, 1.5), "unscented": (5.0, 5.0), "ensemble": (5.0, 8.0)}
CASES = {}
for _filter, _ahead in TARGETS.items():
    for _kind, _times in zip(("value", "gradient"), _ahead, strict=True):
        _most = {"first s": 4.0} if _filter == "extended" else {}
        CASES[f"{_filter}, {_kind}"] = Case({"filter": _filter, "kind": _kind}, _times, _most)


def drift(x, theta):
    """Lorenz-63."""
    import jax.numpy as jnp

    sigma, rho, beta = theta
    return jnp.stack([sigma * (x[1] - x[0]), x[0] * (rho - x[2]) - x[1], x[0] * x[1] - beta * x[2]])


@functools.cache
def series():
    """(times, values), the first at the start, in 64 Euler steps for each gap."""
    rng = np.random.default_rng(4000)
    times = np.append(0.0, np.cumsum(rng.uniform(0.02, 0.18, 499)))
    x, values = START + VARIANCE**0.5 * rng.normal(size=3), []
    for gap in np.diff(times, prepend=0.0):
        h = gap / FINE
        for noise in rng.normal(size=(FINE, 3)) if gap else ():
            f = np.array([10 * (x[1] - x[0]), x[0] * (28.0 - x[2]) - x[1], x[0] * x[1] - 8 / 3 * x[2]])
            x = x + h * f + h**0.5 * noise
        values.append(x + rng.normal(size=3))
    return times, np.array(values)


def gate(told, filter, kind):
    """Near the log-likelihood of the same filter with many more steps, of the ensembles on average over keys."""
    known, slack = KNOWN[filter]
    if not abs(told["log-likelihood"] - known) < slack:
        raise AssertionError(f"log-likelihood {told['log-likelihood']}, {known} +- {slack} is known")


def of(evidence, kind):
    """A run of `evidence(theta, times, values)`, or of its value and gradient in theta."""
    import jax
    import jax.numpy as jnp

    def value(theta, times, values):
        return {"log-likelihood": evidence(theta, times, values)}

    def gradient(theta, times, values):
        total, slope = jax.value_and_grad(evidence)(theta, times, values)
        return {"log-likelihood": total, "slope": slope}

    return jitted(value if kind == "value" else gradient, jnp.array([10.0, 28.0, 8 / 3]), *map(jnp.asarray, series()))


def filterlearn(filter, kind, steps=STEPS):
    """The log-likelihood; eight Runge-Kutta steps a gap."""
    import jax
    import jax.numpy as jnp

    import filterlearn as fl

    algorithm = {
        "extended": fl.ExtendedKalman(),
        "unscented": fl.SigmaPoint(fl.Unscented()),
        "ensemble": fl.EnsembleKalman(MEMBERS),
    }[filter]

    def evidence(theta, times, values):
        moves = fl.RungeKutta(fl.SDE(lambda t, x, u: drift(x, theta), jnp.ones(3)), steps=steps)
        model = fl.StateSpaceModel(fl.Gaussian(START, VARIANCE), moves, fl.LinearGaussianObservation(jnp.eye(3), jnp.eye(3)))
        return fl.log_evidence(algorithm, model, fl.Dataset(times, values), key=jax.random.key(0))

    return of(evidence, kind)


def cd_dynamax(filter, kind):
    """The log-likelihood, means and covariances."""
    import jax
    import jax.numpy as jnp
    from cd_dynamax.src.continuous_discrete_nonlinear_gaussian_ssm import cdnlgssm_utils as parts
    from cd_dynamax.src.continuous_discrete_nonlinear_gaussian_ssm import models
    from cd_dynamax.src.continuous_discrete_nonlinear_gaussian_ssm.inference_ekf import EKFHyperParams
    from cd_dynamax.src.continuous_discrete_nonlinear_gaussian_ssm.inference_enkf import EnKFHyperParams
    from cd_dynamax.src.continuous_discrete_nonlinear_gaussian_ssm.inference_ukf import UKFHyperParams

    class Drift:
        def __init__(self, theta):
            self.theta = theta

        def f(self, x, u=None, t=None):
            return drift(x, self.theta)

    hyper = {"extended": EKFHyperParams(), "unscented": UKFHyperParams(), "ensemble": EnKFHyperParams(N_particles=MEMBERS)}

    def evidence(theta, times, values):
        matrix, eye = parts.LearnableMatrix, jnp.eye(3)
        params = parts.ParamsCDNLGSSM(
            parts.ParamsLGSSMInitial(parts.LearnableVector(jnp.asarray(START)), matrix(VARIANCE * eye)),
            parts.ParamsCDNLGSSMDynamics(Drift(theta), matrix(eye), matrix(eye), 1.0),
            parts.ParamsCDNLGSSMEmissions(parts.LearnableLinear(eye, jnp.zeros(3)), matrix(eye)),
        )
        found = models.cdnlgssm_filter(params, values, times[:, None], hyper[filter], key=jax.random.key(0))
        return found.marginal_loglik

    return of(evidence, kind)


def dynestyx(filter, kind):
    """The log-likelihood."""
    import dynestyx as dsx
    import jax.numpy as jnp
    import numpyro.distributions as dist
    from dynestyx.inference.configs import filter as configs
    from numpyro.infer.util import log_density

    chosen = {
        "extended": configs.ContinuousTimeEKFConfig(warn=False),
        "unscented": configs.ContinuousTimeUKFConfig(warn=False),
        "ensemble": configs.ContinuousTimeEnKFConfig(warn=False, n_particles=MEMBERS),
    }[filter]

    def evidence(theta, times, values):
        def model():
            moves = dsx.ContinuousTimeStateEvolution(
                drift=lambda x, u, t: drift(x, theta), diffusion=dsx.FullDiffusion(jnp.eye(3))
            )
            dynamics = dsx.DynamicalModel(
                initial_condition=dist.MultivariateNormal(jnp.asarray(START), VARIANCE * jnp.eye(3)),
                state_evolution=moves,
                observation_model=dsx.LinearGaussianObservation(jnp.eye(3), jnp.eye(3)),
            )
            with dsx.Filter(chosen):
                dsx.sample("y", dynamics, obs_times=times, obs_values=values)

        return log_density(model, (), {}, {})[0]

    return of(evidence, kind)


SIDES = {"filterlearn": filterlearn, "cd-dynamax": cd_dynamax, "dynestyx": dynestyx}
