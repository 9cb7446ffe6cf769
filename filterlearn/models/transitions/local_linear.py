"""The local linearisation of an SDE."""

import equinox as eqx
import jax
import jax.numpy as jnp

from filterlearn.clock import whole
from filterlearn.models.sde import SDE
from filterlearn.models.transitions.base import AbstractStepping
from filterlearn.numerics.discretise import linear_laws
from filterlearn.numerics.small import applied, semidefinite_factor


class LocalLinear(AbstractStepping):
    """The exact law of the SDE linearised about the state and time at the start of each of `steps` substeps,

        dy = (f + J (y - x) + (f_t + sum_j f_xx[g_j, g_j] / 2) (s - t)) ds + g dW,

    with the Jacobian J, the time derivative f_t and the Ito term of the drift, and the diffusion g with columns g_j held
    (Shoji & Ozaki 1998, doi:10.1093/biomet/85.1.240; without the Ito term Ozaki 1992, Statistica Sinica 2, 113-135; compared
    with other schemes by Jimenez, Shoji & Ozaki 1999, doi:10.1023/A:1004504506041).

    Exact when the drift is linear in state and time and the noise additive; otherwise of weak order 2 with additive noise and
    1 with a diffusion that is a function. Stable at any step where the linear equation is, so that a stiff drift may have
    noise. The drift must be twice differentiable. A substep costs a matrix exponential of n + 1 rows, and of n + 1 + m to
    draw from, together with the m Brownian increments that drive it.
    """

    sde: SDE
    substeps: int = eqx.field(static=True)

    def __init__(self, sde, *, steps):
        self.sde, self.substeps = sde, whole("steps", steps, 1)

    @property
    def unroll(self) -> int:
        """One: a substep is long to compile, and four are no faster."""
        return 1

    def width(self, x, u):
        """The increments of the Brownian motions, and one for each state for the rest of the noise's integral."""
        return self.brownian(x, u) + self.core(x).shape[0]

    def moments(self, x, t0, t1, u=None):
        """Mean and factor of the linearised law, with the jumps in drift and noise by their first two moments."""
        _, noise = self.rates(x, t0, u)
        mean, covariance = _linearised(lambda t, y: self.rates(y, t, u)[0], x, t0, t1 - t0, noise, noise[:0])
        return x + mean, semidefinite_factor(covariance)

    def drifted(self, x, t, h, u):
        """The mean of the linearised law without jumps."""
        return self.diffuse(x, t, h, u, jnp.zeros(self.width(x, u), x.dtype))

    def diffuse(self, x, t, h, u, z):
        """A draw of the linearised law, whose Brownian increments are sqrt(h) times the first normals."""
        noise, m = self.sde.noise_matrix(t, x, u), self.brownian(x, u)
        mean, covariance = _linearised(lambda s, y: self.sde.drift(s, y, u), x, t, h, noise, jnp.eye(m, dtype=x.dtype))
        return x + mean[m:] + applied(semidefinite_factor(covariance)[m:], z)


def _linearised(drift, x, t, h, noise, recorded):
    """Mean and covariance of (R W, y - x) after h, for `recorded` R `(k, m)`, by the linear SDE of (R W, y - x, s - t)."""
    (k, m), n, t = recorded.shape, x.shape[0], jnp.asarray(t, x.dtype)

    def curvature(column):
        return jax.jvp(lambda y: jax.jvp(lambda v: drift(t, v), (y,), (column,))[1], (x,), (column,))[1]

    value, moving = jax.jvp(lambda s: drift(s, x), (t,), (jnp.ones_like(t),))
    moving = moving + jnp.sum(jax.vmap(curvature, 1)(noise), axis=0) / 2
    jacobian = jax.jacfwd(lambda y: drift(t, y))(x)
    a = jnp.zeros((k + n + 1, k + n + 1), x.dtype).at[k:-1, k:-1].set(jacobian).at[k:-1, -1].set(moving)
    b = jnp.concatenate([jnp.zeros(k, x.dtype), value, jnp.ones(1, x.dtype)])
    g = jnp.concatenate([recorded, noise, jnp.zeros((1, m), x.dtype)])
    _, mean, covariance = linear_laws(a, b, g @ g.T, jnp.reshape(h, 1))
    return mean[0, :-1], covariance[0, :-1, :-1]
