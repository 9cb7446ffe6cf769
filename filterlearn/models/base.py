"""The laws a model is made of, and the model."""

from __future__ import annotations

import abc
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float
from numpyro.distributions import Delta, Distribution

from filterlearn.beliefs.base import start_time
from filterlearn.beliefs.gaussian import AbstractGaussianBelief, DiffuseGaussian, Gaussian, SquareRootGaussian
from filterlearn.inputs import input_at
from filterlearn.numerics.sampling import normals


class _Timed(eqx.Module):
    """A user's function of (t, ..., u) that finds u evaluated at its own t."""

    function: Any

    def __call__(self, t, *rest):
        return self.function(t, *rest[:-1], input_at(rest[-1], t))


def timed(given):
    """A function that a user writes, reading inputs at its own time; anything else, a numpyro law too, as it is."""
    function = callable(given) and not isinstance(given, Distribution | _Timed)
    return _Timed(given) if function else given


def value_at(given, t, u):
    """An array argument, or the value of a function of (t, u)."""
    return given(t, u) if callable(given) else given


def arrays(given, dtype=None):
    """Numbers and lists as arrays; functions, made to read inputs at their own time; None as it is."""
    if given is None or callable(given):
        return timed(given)
    array = jnp.asarray(given)
    return array if jnp.issubdtype(array.dtype, jnp.floating) else array.astype(dtype or float)


class AbstractTransition(eqx.Module):
    """The law of x(t1) given x(t0). Equal times are the identity."""

    @abc.abstractmethod
    def noise_shape(self, x, u=None) -> tuple[int, ...]:
        """Shape of the standard normals that one interval takes, for a state like `x`."""

    def draw_noise(self, n: int, x, u=None, *, key):
        """What `push` takes in one interval, for `n` members like `x`: standard normals `(n, *noise_shape)`, or, for a law
        that needs more than normals, a pytree whose leaves have `n` rows."""
        return normals(key, (n, *self.noise_shape(x, u)), x.dtype)

    @abc.abstractmethod
    def push(self, x, t0, t1, u, noise) -> Float[Array, "n"]:
        """x(t1) from x(t0) and one row of the noise."""

    def sample(self, x, t0, t1, u=None, *, key) -> Float[Array, "n"]:
        """One draw of x(t1)."""
        return self.sample_many(x[None], t0, t1, u, key=key)[0]

    def sample_many(self, xs, t0, t1, u=None, *, key) -> Float[Array, "N n"]:
        """One draw of x(t1) for each row of `xs`."""
        noise = self.draw_noise(xs.shape[0], xs[0], u, key=key)
        return jax.vmap(lambda x, e: self.push(x, t0, t1, u, e))(xs, noise)

    def refined(self) -> AbstractTransition | None:
        """The same with twice the substeps; None where there are none."""
        return None  # noqa: RET501

    def over(self, gaps) -> AbstractTransition | None:
        """Transitions for one gap each, stacked, each for its own gap or none; None when nothing can be computed ahead."""
        return None  # noqa: RET501


class AbstractGaussianTransition(AbstractTransition):
    """A transition whose substeps have a Gaussian law, or are matched to one in mean and covariance."""

    substeps: eqx.AbstractVar[int]

    @property
    def gaussian(self) -> bool:
        """Whether the law of a substep is Gaussian, not only matched to one."""
        return True

    @abc.abstractmethod
    def moments(self, x, t0, t1, u=None) -> tuple[Float[Array, "n"], Float[Array, "n k"]]:
        """Mean and a factor L (covariance L L') of one substep from t0 to t1."""


class AbstractJumping(AbstractGaussianTransition):
    """A transition with compound-Poisson jumps, which takes the numbers of jumps in a gap as given."""

    @property
    @abc.abstractmethod
    def kinds(self) -> tuple:
        """The kinds of jumps."""

    @abc.abstractmethod
    def without_jumps(self) -> AbstractGaussianTransition:
        """The transition between jumps."""

    @abc.abstractmethod
    def given_jumps(self, counts: Float[Array, "parts kinds"], t0, t1, u=None) -> AbstractGaussianTransition:
        """The transition from t0 to t1, given how many jumps of each kind there are in each of so many equal parts of it."""

    @abc.abstractmethod
    def given_times(
        self, counts: Float[Array, "kinds"], passed: Float[Array, "kinds most"], t0, t1, u=None
    ) -> AbstractGaussianTransition:
        """The same, given also when: the first entries of each row of `passed` are the shares of the gap before its jumps."""


class AbstractLinearTransition(AbstractGaussianTransition):
    """x(t1) = A x(t0) + b + noise of mean 0 and covariance Q, exactly."""

    @abc.abstractmethod
    def discretise(self, t0, t1, u=None):
        """(A, b, Q) for the gap; (I, 0, 0) at equal times."""


class AbstractFinite(AbstractTransition):
    """A transition between K states, each a vector of one entry: its number, from 0."""

    @abc.abstractmethod
    def probabilities(self, t0, t1, u=None) -> Float[Array, "K K"]:
        """P(x(t1) = j given x(t0) = i); the identity at equal times."""

    def among(self, size: int, t0, t1, u=None) -> Float[Array, "K K"]:
        """The probabilities; ValueError unless there are `size` states."""
        found = self.probabilities(t0, t1, u)
        if found.shape != (size, size):
            raise ValueError(f"transition: probabilities among {size} states are needed, got shape {found.shape}")
        return found

    def noise_shape(self, x, u=None):
        """One normal."""
        return (1,)

    def push(self, x, t0, t1, u, noise):
        """By inversion of the cumulative probabilities."""
        cumulative = jnp.cumsum(self.probabilities(t0, t1, u)[x[0].astype(int)])
        return jnp.sum(cumulative[:-1] < jax.scipy.special.ndtr(noise), keepdims=True).astype(x.dtype)


class AbstractObservation(eqx.Module):
    """The law of a datum given the state."""

    @abc.abstractmethod
    def log_prob(self, y, x, t, u=None) -> Float[Array, ""]:
        """log p(y | x); NaN entries of y are left out."""

    @abc.abstractmethod
    def sample(self, x, t, u=None, *, key) -> Float[Array, "m"]:
        """One draw of y."""

    def predicted(self, x, t, u=None):
        """Mean and variance of y given x, `(m,)` each; NaN where the law does not tell them."""
        y = jax.eval_shape(lambda k: self.sample(x, t, u, key=k), jax.random.key(0))
        unknown = jnp.full(y.shape, jnp.nan, x.dtype)
        return unknown, unknown

    def cdf(self, y, x, t, u=None):
        """P(Y <= y | x) for each entry, `(m,)`; NaN where the law does not tell it."""
        return jnp.full(y.shape, jnp.nan, x.dtype)


class AbstractGaussianObservation(AbstractObservation):
    """y ~ N(mean(x), covariance(x))."""

    @abc.abstractmethod
    def moments(self, x, t, u=None):
        """Mean `(m,)` and covariance `(m, m)` of y given x."""

    def innovation(self, y, mean):
        """y - mean, unless the observation has another difference (angles)."""
        return y - mean


class Initial(eqx.Module):
    """Any numpyro law of the state at `time` (None: at the first datum)."""

    distribution: Any
    time: Any = None

    def sample(self, n: int, *, key):
        """`n` draws `(n, dimension)`."""
        draws = jnp.asarray(self.distribution.sample(key, (n,)))
        return draws.reshape(n, -1).astype(jnp.promote_types(draws.dtype, jnp.float32))

    def log_prob(self, x):
        """Log-density at one state."""
        law = self.distribution
        return jnp.sum(law.log_prob(x.reshape(law.batch_shape + law.event_shape)))

    def moments(self):
        """Mean and covariance, for Gaussian beliefs."""
        mean = jnp.atleast_1d(self.distribution.mean)
        if hasattr(self.distribution, "covariance_matrix"):
            return mean, self.distribution.covariance_matrix
        return mean, jnp.diag(jnp.atleast_1d(self.distribution.variance))


class Diffuse(eqx.Module):
    """Nothing is known of the `n` states before the first datum: the exact diffuse start, for `Kalman`."""

    n: int = eqx.field(static=True)
    time: Any = None


class StateSpaceModel(eqx.Module):
    """x(t0) ~ initial; x moves by the transition; y given x by the observation.

    >>> import filterlearn as fl
    >>> level = fl.LinearDiscrete([[1.0]], [[1.0]])
    >>> model = fl.StateSpaceModel(fl.Gaussian([0.0], 1.0), level, fl.LinearGaussianObservation([[1.0]], [[1.0]]))
    """

    initial: Any
    transition: Any
    observation: Any

    def __check_init__(self):
        for name, kinds in (
            ("initial", (Gaussian, SquareRootGaussian, Initial, Diffuse)),
            ("transition", AbstractTransition),
            ("observation", AbstractObservation),
        ):
            given = getattr(self, name)
            if not isinstance(given, kinds):
                needed = " or ".join(k.__name__ for k in (kinds if isinstance(kinds, tuple) else (kinds,)))
                raise TypeError(f"{name}: {needed} is needed, got {type(given).__name__}")

    def resolve(self) -> StateSpaceModel:
        """The model itself (a bound family builds its own)."""
        return self


def starts_gaussian(initial) -> bool:
    """Whether the initial law is Gaussian by what it is, or known exactly: zero covariances are legal."""
    return isinstance(initial, AbstractGaussianBelief) or isinstance(getattr(initial, "distribution", None), Delta)


def starting_gaussian(initial):
    """The initial law as a Gaussian (or diffuse) belief, by its moments."""
    if isinstance(initial, AbstractGaussianBelief):
        return initial
    if isinstance(initial, Diffuse):
        zero = jnp.zeros((initial.n, initial.n))
        return DiffuseGaussian(zero[0], zero, jnp.eye(initial.n), start_time(initial.time, zero.dtype))
    mean, covariance = initial.moments()
    return Gaussian(mean, covariance, initial.time)


def starting_sample(initial, n, key):
    """`n` draws of the initial state, and its time."""
    if isinstance(initial, Diffuse):
        raise TypeError("initial: a diffuse start has no draws; give a Gaussian, or use Kalman")
    draws = initial.sample(n, key=key)
    return draws, start_time(initial.time, draws.dtype)
