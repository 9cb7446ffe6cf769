"""A3: dx = 0.8 x dW from x = 1 has mean 1 and variance e^.64 - 1 = .89648 at t = 1, in the sense of Ito."""

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import filterlearn as fl
from tests.cases import EXACT_FILTERS, FILTERS, TRANSITIONS

SDE = fl.SDE(lambda t, x, u: 0 * x, lambda t, x, u: 0.8 * x)
FULL = fl.SDE(SDE.drift, lambda t, x, u: 0.8 * x[:, None])
EXACT = np.exp(0.64) - 1
H, N = 1 / 16, 100_000
SEEN = fl.LinearGaussianObservation([[1.0]], [[1.0]])


def euler(h):
    return 1 + 0.64 * h


def milstein(h):
    return 1 + 0.64 * h + 0.2048 * h**2


def discrete(steps, gaps):
    return fl.Discrete(lambda t, x, u: x, lambda t, x, u: 0.64 * x[:, None] ** 2 / (gaps * steps))


def since_last(inside):
    return lambda steps, gaps: fl.SinceLast(inside(steps, gaps), lambda t, x, u: x)


PLAIN = {
    "euler_maruyama": lambda steps, gaps: fl.EulerMaruyama(SDE, steps=steps),
    "euler_maruyama_full": lambda steps, gaps: fl.EulerMaruyama(FULL, steps=steps),
    "milstein": lambda steps, gaps: fl.Milstein(SDE, steps=steps),
    "local_linear": lambda steps, gaps: fl.LocalLinear(SDE, steps=steps),
    "diffrax_euler": lambda steps, gaps: fl.Diffrax(SDE, diffrax.Euler(), steps=steps),
    "diffrax_milstein": lambda steps, gaps: fl.Diffrax(SDE, diffrax.ItoMilstein(), steps=steps),
}
# name: (transition of so many substeps in each of so many gaps, E x^2 after a substep of h from x = 1, order of the variance)
ITO = {name: (make, *((milstein, 2) if name.endswith("milstein") else (euler, 1))) for name, make in PLAIN.items()}
ITO |= {f"since_last_{name}": (since_last(make), *ITO[name][1:]) for name, make in PLAIN.items()}
ITO |= {"discrete": (discrete, euler, 1)}
# The others have no noise that a function of the state gives: the first two refuse it, the others have no place for it.
# JumpsAtData leaves the noise to the transition inside.
UNABLE = {
    fl.RungeKutta,
    fl.Symplectic,
    fl.LinearSDE,
    fl.LinearDiscrete,
    fl.Bilinear,
    fl.ClosedForm,
    fl.MixedLinear,
    fl.JumpsAtData,
}


def grid(name):
    """The transition and its times: four substeps in each of four gaps, or sixteen gaps where a gap is one step."""
    steps, gaps = (1, 16) if name == "discrete" else (4, 4)
    return ITO[name][0](steps, gaps), jnp.arange(1, gaps + 1) / gaps


def start(transition):
    """x = 1, known, and nothing summed yet."""
    n = 2 if isinstance(transition, fl.SinceLast) else 1
    return fl.Gaussian(jnp.eye(n)[0], jnp.zeros((n, n)), time=0.0)


def modelled(transition):
    seen = SEEN if not isinstance(transition, fl.SinceLast) else fl.LinearGaussianObservation([[1.0, 0.0]], [[1.0]])
    return fl.StateSpaceModel(start(transition), transition, seen)


def sigmas(draws, exact):
    """Distance of the mean of the draws from an exact value, in standard errors."""
    return abs(draws.mean() - exact) / (draws.std() / np.sqrt(draws.size))


def lawful(draws, growth):
    """The mean of the solution, and the variance of the scheme, within five standard errors."""
    assert sigmas(draws, 1.0) < 5
    assert sigmas(draws**2, growth(H) ** 16) < 5


def at_one(transition, times, key):
    """Many draws of x(1)."""

    def one(carry, time):
        x, last, key = carry
        key, now = jax.random.split(key)
        return (transition.sample_many(x, last, time, key=now), time, key), None

    x = jnp.tile(start(transition).mean, (N, 1))
    return jax.lax.scan(one, (x, jnp.zeros(()), key), times)[0][0][:, 0]


def test_every_transition_is_tried():
    kinds = {type(make()) for make in TRANSITIONS.values()}
    assert kinds - {type(grid(name)[0]) for name in ITO} == UNABLE
    with pytest.raises(TypeError, match="diffusion: RungeKutta needs additive noise"):
        fl.RungeKutta(SDE, steps=1)


@pytest.mark.parametrize("name", ITO)
def test_draws(name):
    lawful(at_one(*grid(name), jax.random.key(3)), ITO[name][1])


@pytest.mark.parametrize("name", ITO)
def test_the_variance_converges_to_that_of_the_solution(name):
    """A substep is a polynomial in its normal, so that quadrature gives its second moment; order h for Euler, h^2 for
    Milstein, against .89648."""
    make, growth, order = ITO[name]
    nodes, weights = np.polynomial.hermite_e.hermegauss(5)

    @jax.jit
    def moved(h, z):
        transition = make(1, 1 / h)
        x = start(transition).mean
        return transition.push(x, jnp.zeros(()), h, None, jnp.full(transition.noise_shape(x), z))[0]

    def grown(steps):
        moment = weights @ np.square([moved(1.0 / steps, z) for z in nodes]) / weights.sum()
        np.testing.assert_allclose(moment, growth(1.0 / steps), rtol=1e-13)
        return abs(moment**steps - 1 - EXACT)

    errors = [grown(steps) for steps in (16, 32, 64)]
    rates = np.log2(np.divide(errors[:-1], errors[1:]))
    assert (abs(rates - order) < 0.1).all()


def refusal(ahead):
    try:
        eqx.filter_eval_shape(ahead, jax.random.key(0))
    except TypeError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("name", [*PLAIN, "discrete", "since_last_euler_maruyama"])
@pytest.mark.parametrize("kind", FILTERS)
def test_predictions(kind, name):
    """A cloud has the law of its scheme. A Gaussian belief has mean 1; the first-order filter has the variance .64 of the
    diffusion at the mean, at any step, and the moment equations the exact one."""
    (transition, times), algorithm = grid(name), FILTERS[kind]()
    model = modelled(transition)

    @eqx.filter_jit
    def ahead(key):
        first, key = jax.random.split(key)
        belief = algorithm.init(model, key=first)

        def one(carry, time):
            belief, key = carry
            key, now = jax.random.split(key)
            return (algorithm.predict(model, belief, time, key=now), key), None

        return jax.lax.scan(one, (belief, key), times)[0][0]

    if kind in EXACT_FILTERS and refusal(ahead).startswith("transition: "):
        assert not isinstance(algorithm, fl.ExtendedKalman) or isinstance(transition, fl.SinceLast)
        return
    belief = ahead(jax.random.key(0))
    if isinstance(belief, fl.Gaussian):
        np.testing.assert_allclose(belief.mean, 1.0, rtol=1e-14)
        if isinstance(algorithm, fl.ExtendedKalman):
            np.testing.assert_allclose(belief.covariance, 0.64, rtol=1e-14)
        else:
            exact = EXACT if hasattr(transition, "sde") else euler(H) ** 16 - 1
            np.testing.assert_allclose(belief.covariance, exact, atol=1e-6)
        return
    beliefs = jax.lax.map(ahead, jax.random.split(jax.random.key(1), 40))
    clouds = beliefs.members if isinstance(belief, fl.Ensemble) else beliefs.points
    lawful(clouds[..., 0].ravel(), ITO[name][1])


def test_the_extended_filter_says_where_it_takes_the_diffusion():
    assert "uses the diffusion at the mean" in " ".join(fl.ExtendedKalman.__doc__.split())


@pytest.mark.parametrize("name", ITO)
def test_simulations_and_forecasts(name):
    transition, times = grid(name)
    model = modelled(transition)
    keys = jax.random.split(jax.random.key(4), 20_000)
    lawful(jax.vmap(lambda key: fl.simulate(model, times, key=key)[0][-1, 0])(keys), ITO[name][1])
    ahead = fl.forecast(fl.ParticleFilter(2), model, model.initial, times, key=jax.random.key(5), draws=20_000)
    lawful(ahead.states[:, -1, 0], ITO[name][1])


def test_a_stratonovich_solver_would_be_found_out():
    """It is refused; smuggled in, its mean is that of (1 + .32 h)^n, near e^.32 = 1.377, and 50 standard errors from 1."""
    with pytest.raises(TypeError, match="solver: Heun is in the sense of Stratonovich"):
        fl.Diffrax(SDE, diffrax.Heun(), steps=4)
    transition, times = grid("diffrax_euler")
    smuggled = eqx.tree_at(lambda one: one.solver, transition, diffrax.Heun())
    draws = at_one(smuggled, times, jax.random.key(3))
    assert sigmas(draws, 1.0) > 50
    assert sigmas(draws, (1 + 0.32 * H) ** 16) < 5
