"""A4: gradients through a path, by its parameters and its start, against solutions in closed form (the three equations of
Li, Wong, Chen & Duvenaud 2020, arXiv:2001.01328, section 7.1)."""

import diffrax
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import filterlearn as fl


def geometric(p):
    """dX = m X dt + s X dW."""
    return fl.SDE(lambda t, x, u: p[0] * x, lambda t, x, u: p[1] * x)


def geometric_solution(p, w):
    return p[2] * jnp.exp(p[0] - p[1] ** 2 / 2 + p[1] * w)


def arctangent(p):
    """dX = -p^2 sin X cos^3 X dt + p cos^2 X dW."""
    return fl.SDE(lambda t, x, u: -(p[0] ** 2) * jnp.sin(x) * jnp.cos(x) ** 3, lambda t, x, u: p[0] * jnp.cos(x) ** 2)


def arctangent_solution(p, w):
    return jnp.arctan(p[0] * w + jnp.tan(p[1]))


def inhomogeneous(p):
    """dX = (b / sqrt(1 + t) - X / (2 (1 + t))) dt + a b / sqrt(1 + t) dW."""
    return fl.SDE(
        lambda t, x, u: p[1] / jnp.sqrt(1 + t) - x / (2 * (1 + t)), lambda t, x, u: p[0] * p[1] / jnp.sqrt(1 + t) + 0 * x
    )


def inhomogeneous_solution(p, w):
    return (p[2] + p[1] * (1 + p[0] * w)) / jnp.sqrt(2)


# name: (equation, X(1) by the parameters and W(1), parameters with X(0) last)
EQUATIONS = {
    "geometric": (geometric, geometric_solution, [0.5, 0.4, 0.8]),
    "arctangent": (arctangent, arctangent_solution, [0.7, 0.3]),
    "inhomogeneous": (inhomogeneous, inhomogeneous_solution, [0.6, 0.8, 0.5]),
}
SCHEMES = {
    "milstein": fl.Milstein,
    "diffrax_milstein": lambda sde, steps: fl.Diffrax(sde, diffrax.ItoMilstein(), steps=steps),
}
COARSER = {"euler_maruyama": fl.EulerMaruyama}


def errors(equation, scheme, steps, paths):
    """The mean over paths of the largest error of the gradient of X(1), for each number of steps, on the same paths."""
    make, solution, parameters = EQUATIONS[equation]
    fine = jax.random.normal(jax.random.key(4), (paths, max(steps)))

    def end(p, noise):
        return (SCHEMES | COARSER)[scheme](make(p), steps=noise.shape[0]).push(p[-1:], 0.0, 1.0, None, noise)[0]

    @jax.jit
    def error(noise):
        gradients = jax.vmap(jax.grad(end), (None, 0))(p, noise[:, :, None])
        exact = jax.vmap(jax.grad(solution), (None, 0))(p, noise.sum(1) / np.sqrt(noise.shape[1]))
        return jnp.mean(jnp.max(jnp.abs(gradients - exact), axis=1))

    p = jnp.array(parameters)
    merged = [fine.reshape(paths, n, -1) for n in steps]
    return np.array([error(each.sum(2) / np.sqrt(each.shape[2])) for each in merged])


def orders(found):
    """Of errors at halved steps."""
    return np.log2(found[:-1] / found[1:])


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("equation", EQUATIONS)
def test_the_gradient_converges_with_order_one(equation, scheme):
    """The short form: the target is 1e-2 at a step of 1e-3, so eight times that at 1/128."""
    found = errors(equation, scheme, (32, 64, 128), 400)
    assert found[-1] < 8e-2
    assert (abs(orders(found) - 1) < 0.2).all()


def test_without_the_quadratic_term_the_order_is_a_half():
    """What the test above must not pass."""
    assert (abs(orders(errors("geometric", "euler_maruyama", (32, 64, 128), 400)) - 0.5) < 0.2).all()


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("equation", EQUATIONS)
def test_direct_checkpointed_and_forward_modes_agree(equation, scheme):
    """To 1e-10; checkpoints at each of eight data."""
    make, _, parameters = EQUATIONS[equation]
    noise, times = jax.random.normal(jax.random.key(5), (8, 4, 1)), jnp.arange(9.0) / 8

    def end(p, push):
        transition = SCHEMES[scheme](make(p), steps=4)

        def one(x, each):
            return push(transition, x, *each), None

        return jax.lax.scan(one, p[-1:], (times[:-1], times[1:], noise))[0][0]

    def plain(transition, x, t0, t1, z):
        return transition.push(x, t0, t1, None, z)

    def held(transition, x, t0, t1, z):
        return jax.checkpoint(lambda y: transition.push(y, t0, t1, None, z))(x)

    @jax.jit
    def modes(p):
        return jax.grad(end)(p, plain), jax.grad(end)(p, held), jax.jacfwd(end)(p, plain)

    direct, checkpointed, forward = modes(jnp.array(parameters))
    np.testing.assert_allclose(checkpointed, direct, rtol=1e-10)
    np.testing.assert_allclose(forward, direct, rtol=1e-10)
