"""A family of models: parameters with priors and motion, and the function that builds a model from their values."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
from jaxtyping import Array, Float, Int
from numpyro.distributions.transforms import biject_to

from filterlearn.models.base import StateSpaceModel
from filterlearn.models.building import altering, built, holding, with_network
from filterlearn.models.parameter_dynamics.base import AbstractDynamics, Prior
from filterlearn.models.parameter_dynamics.static import Static
from filterlearn.models.start import (
    AbstractStart,
    checked_draws,
    entrywise,
    start_of,
    unconstrained_draws,
    unconstrained_moments,
)
from filterlearn.numerics.leaves import selected
from filterlearn.numerics.small import as_matrix

_STILL = Static()


class Parameter(eqx.Module):
    """A prior (a numpyro law, whose support is the constraint) and a law of motion on the unconstrained scale."""

    prior: Any
    dynamics: AbstractDynamics = _STILL

    def __check_init__(self):
        if not isinstance(self.prior, dist.Distribution):
            raise TypeError(f"prior: a numpyro distribution is needed, got {type(self.prior).__name__}")
        if self.prior.support.is_discrete:
            raise TypeError("prior: a continuous law is needed; mix over discrete parameters outside the family")
        _check_motion("dynamics", self.dynamics)


def _check_motion(name, given):
    if not isinstance(given, AbstractDynamics):
        raise TypeError(f"{name}: Static, RandomWalk, OrnsteinUhlenbeck, Forgetting or ChangePoint is needed, got {given!r}")


class ModelFamily(eqx.Module):
    """`build(values: dict) -> StateSpaceModel` over named parameters.

    theta is the flat unconstrained vector, ordered by sorted name then C order. `family(theta)` is lazy: a pytree that
    holds theta and builds inside the trace, so that changing theta never retraces. `build` is any function, or an
    `equinox.Module` with a `__call__`, whose arrays are leaves of the family. `dynamics={("a", "b"): RandomWalk(factor)}`
    moves several parameters together: the law acts on their concatenated unconstrained pieces, in the order named.

    Raises ValueError for a joint motion of an unknown name, of a name twice, or of one with a motion of its own.
    """

    build: Any
    parameters: dict[str, Parameter]
    dynamics: dict[tuple[str, ...], AbstractDynamics]
    median: Any
    sd: Any
    begin: Any

    def __init__(self, build, parameters, dynamics=None):
        if not callable(build):
            raise TypeError(f"build: a function of the values is needed, got {type(build).__name__}")
        if not parameters:
            raise ValueError("parameters: at least one is needed; a model without any is a StateSpaceModel")
        for name, given in parameters.items():
            if not isinstance(given, Parameter):
                raise TypeError(f"parameters[{name!r}]: a Parameter is needed, got {type(given).__name__}")
        self.build, self.parameters = built(build), {name: parameters[name] for name in sorted(parameters)}
        self.dynamics = dict(dynamics or {})
        self._check_together()
        self.begin, (self.median, self.sd) = None, self._pilot()
        jax.eval_shape(self.motion, self.median, jnp.ones(()))  # a scale that does not fit fails here, by name

    @classmethod
    def from_module(cls, module, build, *, where, scale, dynamics=_STILL, parameters=None) -> ModelFamily:
        """The weights of a network as parameters: `build(network, values) -> StateSpaceModel`.

        Every floating array inside `where(module)` (as for `equinox.tree_at`; `lambda net: net` for all) becomes a parameter
        named by its path, such as `layers[0].weight`, with a Normal prior centred on the module's own weight, sd `scale`,
        and the motion `dynamics`; the other weights stay. `values` holds the other `parameters`, if any.
        """
        weights = selected(module, where)
        if not weights:
            raise ValueError("where: no floating array is inside the part that it selects")
        extra = parameters or {}
        if twice := sorted(set(weights) & set(extra)):
            raise ValueError(f"parameters: {twice} are weights of the module; choose other names")
        own = {name: Parameter(dist.Normal(weight, scale), dynamics) for name, weight in weights.items()}
        return cls(with_network(module, build, tuple(weights)), {**own, **extra})

    def _check_together(self):
        seen = set()
        for names, law in self.dynamics.items():
            if not isinstance(names, tuple) or not names:
                raise TypeError(f"dynamics: each key is a tuple of parameter names, got {names!r}")
            _check_motion(f"dynamics[{names!r}]", law)
            for name in names:
                if name not in self.parameters:
                    raise ValueError(f"dynamics: {name!r} is not a parameter; the names are {list(self.names)}")
                if name in seen:
                    raise ValueError(f"dynamics: {name!r} is named twice; a parameter moves by one law")
                if not isinstance(self.parameters[name].dynamics, Static):
                    raise ValueError(f"dynamics: {name!r} has a motion of its own; leave that one Static")
                seen.add(name)

    def _pilot(self):
        """The prior's median and sd on the unconstrained scale: exact for normal laws, others by 2,001 draws."""
        keys = jax.random.split(jax.random.key(0), len(self.parameters))
        moments = [unconstrained_moments(p.prior, k) for p, k in zip(self.parameters.values(), keys, strict=True)]
        return jnp.concatenate([m for m, _ in moments]), jnp.concatenate([s for _, s in moments])

    @property
    def names(self) -> tuple[str, ...]:
        """Sorted parameter names."""
        return tuple(self.parameters)

    def _shapes(self):
        return {name: biject_to(p.prior.support).inverse_shape(p.prior.shape()) for name, p in self.parameters.items()}

    @property
    def size(self) -> int:
        """Length of theta."""
        return sum(math.prod(s) for s in self._shapes().values())

    def _places(self) -> dict[str, slice]:
        """Where each parameter stands in theta."""
        shapes = self._shapes()
        stops = np.cumsum([math.prod(shape) for shape in shapes.values()]).tolist()
        return {name: slice(a, b) for name, a, b in zip(shapes, [0, *stops], stops, strict=False)}

    @property
    def entries(self) -> tuple[str, ...]:
        """A name for each entry of theta: the parameter's, with an index where it is not a scalar."""
        shapes = self._shapes()
        return tuple(name + (str(list(i)) if i else "") for name, shape in shapes.items() for i in np.ndindex(shape))

    @property
    def separate(self) -> tuple[str, ...]:
        """Names of the parameters whose entries are constrained one by one, by a monotone function each."""
        return tuple(name for name, p in self.parameters.items() if entrywise(p.prior.support))

    def _pieces(self, theta):
        places = self._places()
        for name, shape in self._shapes().items():
            yield name, self.parameters[name], theta[places[name]].reshape(shape)

    def constrain(self, theta) -> dict:
        """Named values from the unconstrained vector."""
        return {name: biject_to(p.prior.support)(piece) for name, p, piece in self._pieces(theta)}

    def unconstrain(self, values: dict):
        """The unconstrained vector from named values."""
        if missing := set(self.names) ^ set(values):
            raise ValueError(f"values: exactly the names {list(self.names)} are needed, {sorted(missing)} do not match")
        inverses = [biject_to(p.prior.support).inv(jnp.asarray(values[n])) for n, p in self.parameters.items()]
        return jnp.concatenate([jnp.ravel(piece) for piece in inverses])

    def log_prior(self, theta):
        """Log prior density of theta, the Jacobian included."""
        total = jnp.zeros((), theta.dtype)
        for _, p, piece in self._pieces(theta):
            transform = biject_to(p.prior.support)
            value = transform(piece)
            total += jnp.sum(p.prior.log_prob(value)) + jnp.sum(transform.log_abs_det_jacobian(piece, value))
        return total

    def sample_prior(self, n: int, *, key) -> Float[Array, "n p"]:
        """`n` draws of theta from the prior."""
        keys = jax.random.split(key, len(self.parameters))
        draws = [unconstrained_draws(p.prior, n, k) for p, k in zip(self.parameters.values(), keys, strict=True)]
        return jnp.concatenate(draws, axis=1).astype(self.median.dtype)

    def started(self, draws) -> ModelFamily:
        """The family whose learners start from unconstrained draws `(n, p)` instead of the prior (those of a fit:
        `informed`); the prior, its sds and the laws of motion stay as they are.

        Raises ValueError for another shape, or a draw that is not finite.
        """
        return self._with(begin=checked_draws(draws, self.size, self.median.dtype))

    @property
    def start(self) -> AbstractStart:
        """What learners believe of theta before the first datum: `mean`, `variance`, `covariance`, `sample(n, key=)`."""
        return start_of(self, self.begin)

    def _laws(self) -> list[tuple[AbstractDynamics, list[slice]]]:
        """Each law of motion, and the pieces of theta that it moves."""
        places = self._places()
        joint = {name for names in self.dynamics for name in names}
        own = [(p.dynamics, [places[name]]) for name, p in self.parameters.items() if name not in joint]
        return own + [(law, [places[name] for name in names]) for names, law in self.dynamics.items()]

    def _entries(self, pieces) -> Int[np.ndarray, "k"]:
        return np.concatenate([np.arange(piece.start, piece.stop) for piece in pieces])

    @property
    def moving(self) -> tuple[str, ...]:
        """Names of the parameters that are not static."""
        own = {name for name, p in self.parameters.items() if not isinstance(p.dynamics, Static)}
        joint = {name for names, law in self.dynamics.items() if not isinstance(law, Static) for name in names}
        return tuple(sorted(own | joint))

    def motion(self, theta, gap) -> tuple[Float[Array, "p"], Float[Array, "p *k"]]:
        """Mean of theta after a gap, and its noise: standard deviations `(p,)`, or a factor `(p, p)` where entries move
        together."""

        def moments(law, pieces):
            return law.moments(_joined(theta, pieces), gap, self._prior(pieces))

        laws = self._laws()
        means, noises = zip(*(moments(*each) for each in laws), strict=True)
        together = any(noise.ndim == 2 for noise in noises)
        noise = jax.scipy.linalg.block_diag(*map(as_matrix, noises)) if together else jnp.concatenate(noises)
        mean, back = jnp.concatenate(means), self._back(laws)
        return mean[back], noise[back][:, back] if together else noise[back]

    def _prior(self, pieces) -> Prior:
        return Prior(_joined(self.median, pieces), _joined(self.sd, pieces))

    def _back(self, laws) -> Int[np.ndarray, "p"]:
        """Where each entry of theta stands among those of the laws."""
        return np.argsort(self._entries([piece for _, pieces in laws for piece in pieces]))

    @property
    def chances(self) -> int:
        """How many standard normals a draw of the motion takes beside one for each entry; 0 where it is Gaussian."""
        return sum(law.chances for law, _ in self._laws())

    def moved(self, theta, gap, noise) -> Float[Array, "p"]:
        """theta after a gap, from `size + chances` standard normals."""
        laws, after, used = self._laws(), [], self.size
        for law, pieces in laws:
            own = jnp.concatenate([_joined(noise, pieces), noise[used : used + law.chances]])
            after.append(law.moved(_joined(theta, pieces), gap, self._prior(pieces), own))
            used += law.chances
        return jnp.concatenate(after)[self._back(laws)]

    def kept(self, gap) -> tuple[Int[np.ndarray, "f"], Float[Array, "f"]]:
        """The entries of theta that forget, and the power of the belief about each that outlasts the gap."""
        pairs = [(self._entries(pieces), law.kept(gap)) for law, pieces in self._laws()]
        pairs = [(i, jnp.broadcast_to(kept, i.shape)) for i, kept in pairs if kept is not None]
        if not pairs:
            return np.zeros(0, int), jnp.zeros(0, self.median.dtype)
        return np.concatenate([i for i, _ in pairs]), jnp.concatenate([kept for _, kept in pairs])

    def _with(self, **changes) -> ModelFamily:
        """A copy with some fields changed, without another pilot run."""
        new = object.__new__(ModelFamily)
        for field in dataclasses.fields(self):
            object.__setattr__(new, field.name, changes.get(field.name, getattr(self, field.name)))
        return new

    def hold(self, values: dict) -> ModelFamily:
        """The family of the other parameters, these held at constrained values: one trace for all values, inside a trace too.

        Raises ValueError for an unknown name, when no parameter is left, and when a joint motion would be split.
        """
        if unknown := sorted(set(values) - set(self.names)):
            raise ValueError(f"values: {unknown} are not parameters; the names are {list(self.names)}")
        left = {name: p for name, p in self.parameters.items() if name not in values}
        if not left:
            raise ValueError("values: every parameter is held, none is left; give family(theta)")
        for names in self.dynamics:
            if 0 < len(held := sorted(set(names) & set(values))) < len(names):
                raise ValueError(f"values: {held} move together with others; hold all of {list(names)} or none")
        dynamics = {names: law for names, law in self.dynamics.items() if set(names) <= set(left)}
        index = self._entries([place for name, place in self._places().items() if name in left])
        build = holding(self.build, values)
        begin = None if self.begin is None else self.begin[:, index]
        kept = {"median": self.median[index], "sd": self.sd[index], "begin": begin}
        return self._with(build=build, parameters=left, dynamics=dynamics, **kept)

    def altered(self, change) -> ModelFamily:
        """The family of the models change(model); the same function twice does not retrace."""
        return self._with(build=altering(self.build, change))

    def __call__(self, theta) -> BoundFamily:
        """The member of the family at theta."""
        return BoundFamily(self, jnp.asarray(theta))

    def resolve(self):
        """Refused: a family is not a model."""
        raise TypeError("problem: a filter needs a model; give family(theta), or put a learner around the filter")


class BoundFamily(eqx.Module):
    """A family at a parameter vector; the model is built inside the trace."""

    family: ModelFamily
    theta: Any

    def resolve(self) -> StateSpaceModel:
        """The model at theta."""
        return self.family.build(self.family.constrain(self.theta))


def _joined(vector, pieces):
    """Some pieces of a vector, one after another."""
    return jnp.concatenate([vector[piece] for piece in pieces])
