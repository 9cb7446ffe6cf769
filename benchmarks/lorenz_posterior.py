"""W6L: the posterior of rho of a noisy Lorenz-63 of which one coordinate is seen: one chain of NUTS, 500 + 1,000 draws, over
the extended Kalman filter's evidence."""

import functools

import numpy as np

from benchmarks.case import Case, sampled

WIDE = True
WARMUP, DRAWS = 500, 1000
START, VARIANCE = np.array([1.509, -1.531, 25.46]), 2.0
CASES = {"Lorenz-63": Case({}, 30.0, by="ESS/s")}


def drift(x, rho):
    """Lorenz-63."""
    import jax.numpy as jnp

    return jnp.stack([10 * (x[1] - x[0]), x[0] * (rho - x[2]) - x[1], x[0] * x[1] - 8 / 3 * x[2]])


@functools.cache
def series(seed):
    """(times, values): 200 values of x_1 with variance 1, the first at the start, in 256 Euler steps for each gap."""
    rng = np.random.default_rng(seed)
    times = np.append(0.0, np.cumsum(rng.uniform(0.02, 0.08, 199)))
    x, seen = START + VARIANCE**0.5 * rng.normal(size=3), []
    for gap in np.diff(times, prepend=0.0):
        h = gap / 256
        for noise in rng.normal(size=(256, 3)) if gap else ():
            f = np.array([10 * (x[1] - x[0]), x[0] * (28.0 - x[2]) - x[1], x[0] * x[1] - 8 / 3 * x[2]])
            x = x + h * f + h**0.5 * noise
        seen.append(x[0] + rng.normal())
    return times, np.array(seen)


def gate(told):
    """The same posterior."""
    if not abs(told["rho"] - 28.0) < 1.0:
        raise AssertionError(f"rho {told['rho']}")


def filterlearn():
    """A DataTree: draws, predictions and pointwise evidence; two Runge-Kutta steps a gap."""
    import jax.numpy as jnp
    import numpyro.distributions as dist

    import filterlearn as fl

    def build(p):
        sde = fl.SDE(lambda t, x, u: drift(x, p["rho"]), jnp.ones(3))
        seen = fl.LinearGaussianObservation([[1.0, 0.0, 0.0]], [[1.0]])
        return fl.StateSpaceModel(fl.Gaussian(START, VARIANCE), fl.RungeKutta(sde, steps=2), seen)

    family = fl.ModelFamily(build, {"rho": fl.Parameter(dist.Normal(25.0, 5.0))})

    def fit(times, values, key):
        tree = fl.fit(family, fl.Dataset(times, values), fl.ExtendedKalman(), fl.NUTS(WARMUP, DRAWS, 1), key=key)
        return {"rho": tree["posterior"]["rho"].values}

    return sampled(fit, series)


def by_numpyro(model):
    """NUTS of NumPyro over a model of (times, values)."""
    import jax.numpy as jnp
    import numpyro

    def fit(times, values, key):
        mcmc = numpyro.infer.MCMC(
            numpyro.infer.NUTS(model), num_warmup=WARMUP, num_samples=DRAWS, progress_bar=False, jit_model_args=True
        )
        mcmc.run(key, jnp.asarray(times), jnp.asarray(values))
        return mcmc.get_samples()

    return sampled(fit, series)


def dynestyx():
    """Draws; its continuous-discrete extended filter inside NumPyro."""
    import dynestyx as dsx
    import jax.numpy as jnp
    import numpyro
    import numpyro.distributions as dist
    from dynestyx.inference.configs.filter import ContinuousTimeEKFConfig

    def model(times, values):
        rho = numpyro.sample("rho", dist.Normal(25.0, 5.0))
        dynamics = dsx.DynamicalModel(
            initial_condition=dist.MultivariateNormal(jnp.asarray(START), VARIANCE * jnp.eye(3)),
            state_evolution=dsx.ContinuousTimeStateEvolution(
                drift=lambda x, u, t: drift(x, rho), diffusion=dsx.FullDiffusion(jnp.eye(3))
            ),
            observation_model=dsx.LinearGaussianObservation(jnp.array([[1.0, 0.0, 0.0]]), jnp.eye(1)),
        )
        with dsx.Filter(ContinuousTimeEKFConfig(warn=False)):
            dsx.sample("y", dynamics, obs_times=times, obs_values=values[:, None])

    return by_numpyro(model)


def cuthbert():
    """Draws; a moments filter with one Runge-Kutta step a gap, inside NumPyro."""
    import jax.numpy as jnp
    import numpyro
    import numpyro.distributions as dist
    from cuthbert import filter as filtered
    from cuthbert.gaussian import moments

    def model(times, values):
        rho = numpyro.sample("rho", dist.Normal(25.0, 5.0))

        def dynamics(state, row):
            def ahead(x):
                f, h = lambda x: drift(x, rho), row["gap"]
                a = f(x)
                b = f(x + h / 2 * a)
                c = f(x + h / 2 * b)
                return x + h / 6 * (a + 2 * b + 2 * c + f(x + h * c)), jnp.sqrt(h) * jnp.eye(3)

            return ahead, state.mean

        def seen(state, row):
            return lambda x: (x[:1], jnp.eye(1)), state.mean, row["y"][None]

        each = moments.build_filter(jnp.asarray(START), VARIANCE**0.5 * jnp.eye(3), dynamics, seen)
        rows = {"gap": jnp.diff(times, prepend=times[0]), "y": values}
        first = each.init_prepare()
        states = filtered(each, rows, first)
        numpyro.factor("y", states.log_normalizing_constant[-1])

    return by_numpyro(model)


SIDES = {"filterlearn": filterlearn, "dynestyx": dynestyx, "cuthbert": cuthbert}
