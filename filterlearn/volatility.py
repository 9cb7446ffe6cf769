"""The demo's family: stochastic volatility with leverage and jumps, its mean level moving."""

import jax.numpy as jnp
import numpyro.distributions as dist

import filterlearn as fl


def build(p: dict) -> fl.StateSpaceModel:
    """dv = kappa (level - v) dt + sigma dW + jumps, v the log of the daily variance in squared percent.

    A return is drift + rho z2 + N(0, (1 - rho^2) z1), z1 the integral of exp(v) and z2 that of exp(v / 2) dW since the last
    one, with the W of v: leverage. z3 counts the jumps since the last return.
    """
    jump = fl.CompoundPoisson(p["jump_rate"], dist.Normal(p["jump_mean"][None], p["jump_sd"][None]))
    sde = fl.SDE(lambda t, v, u: p["kappa"] * (p["level"] - v), lambda t, v, u: p["sigma"][None], jump)
    transition = fl.SinceLast(
        fl.EulerMaruyama(sde, steps=4),
        integrand=lambda t, v, u: jnp.array([jnp.exp(v[0]), 0.0, 0.0]),
        noise=lambda t, v, u: jnp.array([[0.0], [jnp.exp(v[0] / 2)], [0.0]]),
        size=3,
        counted=jnp.array([[0.0], [0.0], [1.0]], jnp.float32),
    )
    start = jnp.diag(jnp.array([1.0, 0.0, 0.0, 0.0], jnp.float32))
    one_day = jnp.array([0.0, jnp.exp(p["level"]), 0.0, 0.0])
    rho = -p["leverage"]
    returns = fl.DistributionObservation(lambda t, x, u: dist.Normal(p["drift"] + rho * x[2], jnp.sqrt((1 - rho**2) * x[1])))
    mean = one_day.at[0].set(p["level"])
    return fl.StateSpaceModel(fl.Gaussian(mean, start, time=0.0), transition, returns)


_WANDERS = fl.RandomWalk(0.02)


def family(level=_WANDERS) -> fl.ModelFamily:
    """Priors on the scale of daily percent returns: variance of order one, memory of a month, a few jumps a year;
    `level` is the motion of the mean level."""
    return fl.ModelFamily(
        build,
        {
            "level": fl.Parameter(dist.Normal(0.0, 1.0), level),
            "kappa": fl.Parameter(dist.LogNormal(jnp.log(0.04), 0.6)),
            "sigma": fl.Parameter(dist.LogNormal(jnp.log(0.2), 0.4)),
            "leverage": fl.Parameter(dist.Beta(6.0, 3.0)),
            "drift": fl.Parameter(dist.Normal(0.02, 0.03)),
            "jump_rate": fl.Parameter(dist.LogNormal(jnp.log(0.02), 0.5)),
            "jump_mean": fl.Parameter(dist.Normal(0.3, 0.3)),
            "jump_sd": fl.Parameter(dist.LogNormal(jnp.log(0.4), 0.3)),
        },
    )


def tracker() -> fl.Nested:
    """64 parameter particles, 128 states each; shrinkage with a floor under the spread of the static parameters."""
    return fl.Nested(fl.ParticleFilter(128), 64, fl.LiuWest(0.98, 0.02))
