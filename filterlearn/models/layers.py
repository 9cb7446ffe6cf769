"""Linear layers of sequence models, in three equal views: a recurrence, a convolution, a differential equation."""

import abc

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from filterlearn.clock import whole
from filterlearn.models.transitions.bilinear import Bilinear, trapezoid
from filterlearn.models.transitions.linear_sde import LinearSDE


class AbstractLayer(eqx.Module):
    """dx = (A x + B u) dt, y = C x, from x = 0, with A `matrix`, B `drive` and C `readout`."""

    drive: eqx.AbstractVar[Array]
    readout: eqx.AbstractVar[Array]

    @property
    @abc.abstractmethod
    def matrix(self) -> Float[Array, "n n"]:
        """A."""

    def equation(self, noise: Float[Array, "n"]) -> LinearSDE:
        """The exact view: a transition driven by inputs `(p,)`, with noise `(n,)`."""
        return LinearSDE(self.matrix, noise, _Driven(self.drive))

    def recurrence(self, noise: Float[Array, "n"], *, steps: int) -> Bilinear:
        """The step of the trapezoidal rule as a transition."""
        return Bilinear(self.matrix, noise, _Driven(self.drive), steps=steps)

    def kernel(self, gap, length: int) -> Float[Array, "T m p"]:
        """C A^k B for k below `length`, of the matrices of one step of the trapezoidal rule over `gap`."""
        step, back = trapezoid(self.matrix, gap)
        return jax.lax.scan(lambda b, _: (step @ b, self.readout @ b), gap * back @ self.drive, length=length)[1]

    def convolved(self, inputs: Float[Array, "T p"], gap) -> Float[Array, "T m"]:
        """All of y at once, `gap` apart, inputs held in each gap, by fast Fourier transforms of twice the length."""
        length = inputs.shape[0]
        kernel = jnp.fft.rfft(self.kernel(gap, length), 2 * length, axis=0)
        told = jnp.fft.rfft(inputs, 2 * length, axis=0)
        product = jnp.einsum("tmp,tp->tm", kernel, told)
        return jnp.fft.irfft(product, 2 * length, axis=0)[:length].astype(inputs.dtype)


class _Driven(eqx.Module):
    """(t, u) to B u."""

    drive: Array

    def __call__(self, t, u):
        return self.drive @ u


class LegendreLayer(AbstractLayer):
    """HiPPO-LegS, its A and B held still in time: -A_nk = sqrt((2 n + 1) (2 k + 1)) below the diagonal and n + 1 on it,
    B_n = sqrt(2 n + 1), divided by `window`, in whose time the past fades (Gu, Dao, Ermon, Rudra & Re 2020,
    arXiv:2008.07669). The entries of x are Legendre coefficients of what came in. A and the readout are leaves, B is one
    for each input."""

    decay: Array
    drive: Array
    readout: Array

    def __init__(self, states: int, outputs: int, *, inputs: int = 1, window=1.0, key):
        n = np.arange(whole("states", states, 1))
        root = np.sqrt(2 * n + 1.0)
        self.decay = jnp.asarray(np.tril(np.outer(root, root), -1) + np.diag(n + 1.0)) / window
        self.drive = jnp.tile(jnp.asarray(root)[:, None], (1, inputs)) / window
        self.readout = jax.random.normal(key, (outputs, states)) / states**0.5

    @property
    def matrix(self):
        """A."""
        return -self.decay


class DiagonalLayer(AbstractLayer):
    """Damped rotations side by side: a diagonal A of the eigenvalues -exp(log_rates) +- i frequencies, as 2 x 2 real
    blocks, at first -1 / 2 +- i pi k, divided by `window` (Gu, Gupta, Goel & Re 2022, arXiv:2206.11893). Stable whatever
    the leaves. `pairs` is half of the number of states."""

    log_rates: Array
    frequencies: Array
    drive: Array
    readout: Array

    def __init__(self, pairs: int, outputs: int, *, inputs: int = 1, window=1.0, key):
        first, second = jax.random.split(key)
        self.log_rates = jnp.full(whole("pairs", pairs, 1), np.log(0.5 / window))
        self.frequencies = np.pi * jnp.arange(pairs) / window
        self.drive = jax.random.normal(first, (2 * pairs, inputs))
        self.readout = jax.random.normal(second, (outputs, 2 * pairs)) / (2 * pairs) ** 0.5

    @property
    def matrix(self):
        """A."""
        turn = jnp.diag(self.frequencies)
        return jnp.block([[jnp.diag(-jnp.exp(self.log_rates)), turn], [-turn, jnp.diag(-jnp.exp(self.log_rates))]])
