"""A linear layer of sequence models is a recurrence, a convolution and a differential equation."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import filterlearn as fl

KEY = jax.random.key(0)
LAYERS = {
    "legendre": lambda: fl.LegendreLayer(8, 2, inputs=1, window=4.0, key=KEY),
    "diagonal": lambda: fl.DiagonalLayer(4, 2, inputs=1, window=4.0, key=KEY),
}
LENGTH, GAP = 60, 0.1


@pytest.mark.parametrize("name", LAYERS)
def test_three_views(name):
    """The recurrence, as the means of a Kalman filter that sees nothing, equals the convolution within 1e-10. Both come to
    the exact equation, under inputs held between data, with order 2 in the step."""
    layer = LAYERS[name]()
    inputs = jnp.sin(jnp.arange(1.0, LENGTH + 1))[:, None]
    times = GAP * np.arange(1, LENGTH + 1)
    start = fl.Gaussian(jnp.zeros(8), 0.0, time=0.0)
    unseen = fl.LinearGaussianObservation(jnp.zeros((1, 8)), [[1.0]])
    data = fl.Dataset(times, np.full((LENGTH, 1), np.nan), inputs)

    def view(transition):
        model = fl.StateSpaceModel(start, transition, unseen)
        saved = fl.run(fl.Kalman(), model, data, save=lambda belief, info: belief.mean).saved
        return saved @ layer.readout.T

    exact = view(layer.equation(jnp.zeros(8)))
    coarse, fine, finer = (view(layer.recurrence(jnp.zeros(8), steps=steps)) for steps in (1, 2, 4))
    np.testing.assert_allclose(layer.convolved(inputs, GAP), coarse, atol=1e-10)
    split = layer.convolved(jnp.repeat(inputs, 2, axis=0), GAP / 2)
    np.testing.assert_allclose(split[1::2], fine, atol=1e-10)
    errors = np.array([abs(each - exact).max() for each in (coarse, fine, finer)])
    assert (abs(np.log2(errors[:-1] / errors[1:]) - 2) < 0.1).all()
    assert errors[2] < 0.01 * abs(exact).max()


def test_the_legendre_layer_remembers():
    """Its matrix is that of the published code for four states."""
    layer = fl.LegendreLayer(4, 1, key=KEY)
    r = np.sqrt([1, 3, 5, 7])
    known = -np.array([[1, 0, 0, 0], [r[1], 2, 0, 0], [r[2], r[1] * r[2], 3, 0], [r[3], r[1] * r[3], r[2] * r[3], 4]])
    np.testing.assert_allclose(layer.matrix, known, rtol=1e-12)
    np.testing.assert_allclose(layer.drive[:, 0], r, rtol=1e-12)


def test_noise_comes_to_that_of_the_equation():
    """With order 2: mean and covariance over a gap."""
    layer = LAYERS["diagonal"]()
    noise, u = jnp.linspace(0.1, 0.5, 8), jnp.array([0.3])
    exact = layer.equation(noise).discretise(0.0, 0.4, u)
    errors = [
        [abs(a - b).max() for a, b in zip(layer.recurrence(noise, steps=k).discretise(0.0, 0.4, u), exact, strict=True)]
        for k in (8, 16)
    ]
    assert (abs(np.log2(np.divide(*errors)) - 2) < 0.1).all()
