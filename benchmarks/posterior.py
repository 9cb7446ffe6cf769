"""W6: the posterior of an AR(1) seen with noise, 500 data: one chain of NUTS, 500 + 1,000 draws."""

import functools

import numpy as np

from benchmarks.case import Case, sampled

WIDE = True
WARMUP, DRAWS, LENGTH = 500, 1000, 500
CASES = {"AR(1) plus noise": Case({}, 30.0, {"first s": 10.0}, by="ESS/s")}


@functools.cache
def series(seed):
    """Of phi .9, q .5, r .7."""
    rng = np.random.default_rng(6000 + seed)
    x, values = 0.5 / np.sqrt(1 - 0.81) * rng.normal(), []
    for _ in range(LENGTH):
        values.append(x + 0.7 * rng.normal())
        x = 0.9 * x + 0.5 * rng.normal()
    return (np.array(values),)


def gate(told):
    """The same posterior."""
    if not abs(told["phi"] - 0.9) < 0.1:
        raise AssertionError(f"phi {told['phi']}")


def filterlearn():
    """A DataTree: draws, predictions and pointwise evidence."""
    import numpyro.distributions as dist

    import filterlearn as fl

    def build(p):
        phi, q, r = p["phi"], p["q"][None, None], p["r"][None, None]
        start = fl.Gaussian(np.zeros(1), q**2 / (1 - phi**2))
        return fl.StateSpaceModel(
            start, fl.LinearDiscrete(phi[None, None], q**2), fl.LinearGaussianObservation(np.eye(1), r**2)
        )

    priors = {"phi": dist.Uniform(0, 1), "q": dist.HalfNormal(1), "r": dist.HalfNormal(1)}
    family = fl.ModelFamily(build, {name: fl.Parameter(prior) for name, prior in priors.items()})

    def fit(values, key):
        tree = fl.fit(family, fl.Dataset(np.arange(float(LENGTH)), values), fl.Kalman(), fl.NUTS(WARMUP, DRAWS, 1), key=key)
        return {name: tree["posterior"][name].values for name in priors}

    return sampled(fit, series)


def evidence(phi, q, r, values):
    """dynamax's."""
    import jax.numpy as jnp
    from dynamax.linear_gaussian_ssm import inference

    one = jnp.eye(1)
    params = inference.ParamsLGSSM(
        inference.ParamsLGSSMInitial(jnp.zeros(1), q**2 / (1 - phi**2) * one),
        inference.ParamsLGSSMDynamics(phi * one, jnp.zeros(1), jnp.zeros((1, 0)), q**2 * one),
        inference.ParamsLGSSMEmissions(one, jnp.zeros(1), jnp.zeros((1, 0)), r**2 * one),
    )
    return inference.lgssm_filter(params, values[:, None]).marginal_loglik


def bare_evidence(phi, q, r, values):
    """A scan of scalars."""
    import jax
    import jax.numpy as jnp

    def one(carry, y):
        m, p = carry
        s = p + r**2
        told = -0.5 * ((y - m) ** 2 / s + jnp.log(2 * jnp.pi * s))
        return (phi * (m + p / s * (y - m)), phi**2 * (p - p**2 / s) + q**2), told

    return jnp.sum(jax.lax.scan(one, (jnp.zeros(()), q**2 / (1 - phi**2)), values)[1])


def by_blackjax(evidence):
    """NUTS with window adaptation, compiled once for all data."""
    import blackjax
    import jax
    import jax.numpy as jnp

    def density(values, z):
        phi, q, r = jax.nn.sigmoid(z["phi"]), jnp.exp(z["q"]), jnp.exp(z["r"])
        prior = jax.nn.log_sigmoid(z["phi"]) + jax.nn.log_sigmoid(-z["phi"]) - 0.5 * (q**2 + r**2) + z["q"] + z["r"]
        return prior + evidence(phi, q, r, values)

    @jax.jit
    def drawn(values, key):
        logp = functools.partial(density, values)
        first, second = jax.random.split(key)
        start = {"phi": jnp.zeros(()), "q": jnp.zeros(()), "r": jnp.zeros(())}
        (state, own), _ = blackjax.window_adaptation(blackjax.nuts, logp).run(first, start, WARMUP)
        step = blackjax.nuts(logp, **own).step
        return jax.lax.scan(lambda s, k: (lambda n: (n, n.position))(step(k, s)[0]), state, jax.random.split(second, DRAWS))[
            1
        ]

    def fit(values, key):
        z = drawn(jnp.asarray(values), key)
        return {"phi": jax.nn.sigmoid(z["phi"]), "q": jnp.exp(z["q"]), "r": jnp.exp(z["r"])}

    return sampled(fit, series)


def bare():
    """Draws, BlackJAX over a scan written for this model."""
    return by_blackjax(bare_evidence)


def blackjax():
    """Draws, BlackJAX over dynamax."""
    return by_blackjax(evidence)


def numpyro():
    """Draws, NumPyro over dynamax."""
    import jax.numpy as jnp
    import numpyro
    import numpyro.distributions as dist

    def model(values):
        phi = numpyro.sample("phi", dist.Uniform(0, 1))
        q, r = numpyro.sample("q", dist.HalfNormal(1)), numpyro.sample("r", dist.HalfNormal(1))
        numpyro.factor("y", evidence(phi, q, r, values))

    def fit(values, key):
        kernel = numpyro.infer.NUTS(model)
        mcmc = numpyro.infer.MCMC(kernel, num_warmup=WARMUP, num_samples=DRAWS, progress_bar=False, jit_model_args=True)
        mcmc.run(key, jnp.asarray(values))
        return mcmc.get_samples()

    return sampled(fit, series)


SIDES = {"filterlearn": filterlearn, "bare": bare, "blackjax, dynamax": blackjax, "numpyro, dynamax": numpyro}
