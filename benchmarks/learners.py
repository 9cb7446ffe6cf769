"""W7: observations per second of each learner, on a regression with three moving coefficients and on daily returns of the S&P
500 with a stochastic volatility."""

import numpy as np

from benchmarks.case import Case

STEPS = 2000
LEARNERS = (
    "Joint(ExtendedKalman())",
    "Joint(EnsembleKalman(100))",
    "Joint(ParticleFilter(1000))",
    "Nested(Kalman(), 200)",
    "RecursiveMaximumLikelihood(Kalman())",
    "Bank of 6 Joint(ExtendedKalman())",
)
RETURNS = ("Joint(ParticleFilter(1000))", "Nested(ParticleFilter(100), 100)")
CASES = {f"regression, {name}": Case({"data": "regression", "learner": name}, by="data/s") for name in LEARNERS}
CASES |= {f"S&P 500, {name}": Case({"data": "returns", "learner": name}, by="data/s") for name in RETURNS}


def gate(told, data, learner):
    """A finite belief."""
    if not np.isfinite(told["theta"]):
        raise AssertionError("not finite")


def regression():
    """(family, data)."""
    import jax.numpy as jnp
    import numpyro.distributions as dist

    import filterlearn as fl

    def build(p):
        still = fl.LinearDiscrete([[0.0]], [[0.0]])
        seen = fl.LinearGaussianObservation([[0.0]], [[1.0]], lambda t, u: (u @ p["theta"])[None])
        return fl.StateSpaceModel(fl.Gaussian([0.0], 0.0), still, seen)

    rng = np.random.default_rng(7000)
    inputs = rng.normal(size=(STEPS, 3))
    theta = rng.normal(size=3) + np.cumsum(0.1 * rng.normal(size=(STEPS, 3)), axis=0)
    values = (inputs * theta).sum(1) + rng.normal(size=STEPS)
    family = fl.ModelFamily(build, {"theta": fl.Parameter(dist.Normal(jnp.zeros(3), 1.0), fl.RandomWalk(0.1))})
    return family, fl.Dataset(np.arange(float(STEPS)), values, inputs)


def returns():
    """(family, data)."""
    import jax.numpy as jnp
    import numpyro.distributions as dist
    from arch.data import sp500

    import filterlearn as fl

    def build(p):
        moves = fl.LinearDiscrete([[0.97]], [[0.04]], [0.0])
        seen = fl.DistributionObservation(lambda t, x, u: dist.Normal(0.0, jnp.exp((x + p["level"]) / 2)))
        return fl.StateSpaceModel(fl.Gaussian([0.0], 0.7), moves, seen)

    values = 100 * np.diff(np.log(sp500.load()["Adj Close"].to_numpy()))[:STEPS]
    family = fl.ModelFamily(build, {"level": fl.Parameter(dist.Normal(0.0, 1.0), fl.RandomWalk(0.01))})
    return family, fl.Dataset(np.arange(float(len(values))), values)


def filterlearn(data, learner):
    """The evidence of each datum, the last belief."""
    import time

    import equinox as eqx
    import jax
    import jax.numpy as jnp
    import optax

    import filterlearn as fl

    (family, series), exact = {"regression": regression, "returns": returns}[data](), fl.Joint(fl.ExtendedKalman())

    def walking(family, scale):
        return eqx.tree_at(lambda f: f.parameters["theta"].dynamics.scale, family, scale)

    algorithm = {
        "Joint(ExtendedKalman())": lambda: exact,
        "Joint(EnsembleKalman(100))": lambda: fl.Joint(fl.EnsembleKalman(100)),
        "Joint(ParticleFilter(1000))": lambda: fl.Joint(fl.ParticleFilter(1000)),
        "Nested(Kalman(), 200)": lambda: fl.Nested(fl.Kalman(), 200, move=None),
        "Nested(ParticleFilter(100), 100)": lambda: fl.Nested(fl.ParticleFilter(100), 100, move=None),
        "RecursiveMaximumLikelihood(Kalman())": lambda: fl.RecursiveMaximumLikelihood(fl.Kalman(), optax.sgd(0.07)),
        "Bank of 6 Joint(ExtendedKalman())": lambda: fl.Bank(exact, walking, jnp.geomspace(0.02, 0.8, 6), 1e-3),
    }[learner]()

    def evidence(belief, info):
        return info.log_evidence

    def run():
        begin = time.perf_counter()
        done = fl.run(algorithm, family, series, key=jax.random.key(0), save=evidence)
        theta = jax.block_until_ready(done.last.parameters.mean)
        return {"data/s": len(series.times) / (time.perf_counter() - begin), "theta": float(theta[0])}

    return run


SIDES = {"filterlearn": filterlearn}
