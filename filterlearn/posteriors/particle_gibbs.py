"""Parameters and a path of the states, in turn."""

import warnings

import equinox as eqx
import jax
import jax.numpy as jnp

from filterlearn.clock import whole
from filterlearn.filters.particle import ParticleFilter
from filterlearn.posteriors.base import AbstractMethod, Drawn
from filterlearn.posteriors.latent_path import Steps, driven, joint_level, renewed, seen_level, simulated
from filterlearn.posteriors.walk import Walk
from filterlearn.proposals.bootstrap import Bootstrap
from filterlearn.smoothers.base import check_density

_ACCEPTED = 0.3  # share of the moves of theta to which their length is led
_LEAST = 0.02  # share of the sweeps that must renew each state


class ParticleGibbs(AbstractMethod):
    """A path of the states given theta and the data, then theta given the path, in turn (Andrieu, Doucet & Holenstein 2010,
    doi:10.1111/j.1467-9868.2009.00736.x).

    The path is drawn by a particle filter that keeps the last path among its points, and draws the ancestors of that path too
    (Lindsten, Jordan & Schoen 2014, arXiv:1401.0604). Theta then walks `moves` Metropolis steps under p(theta, x, y), and as
    many under p(theta, z, y), z the standard normals that drive x, which moves with theta: one of the two mixes where the
    other does not (Yu & Meng 2011, doi:10.1198/jcgs.2011.203main). Both walks are learned in the warmup.

    Exact for any number of particles. `algorithm` is a `ParticleFilter`, of which only the size counts: points are resampled
    as by `Multinomial()`, at every datum. Needs one substep of Gaussian law between data, its covariance singular or not, and
    any density of the data; TypeError for others. `lp` is log p(theta, x, y) of the draw and its path. `renewed` among the
    attributes is the share of the sweeps in which each state changed, the initial one first: below .02 a warning asks for
    more particles. An outlying datum wants many, and so does a long series whose noise is singular.
    """

    warmup: int = eqx.field(static=True, default=500)
    draws: int = eqx.field(static=True, default=1000)
    chains: int = eqx.field(static=True, default=4)
    moves: int = eqx.field(static=True, default=3)

    def __check_init__(self):
        whole("moves", self.moves, 1)

    def draw(self, target, start, scale, *, key):
        """Every chain in one compiled call."""
        algorithm = target.algorithm
        if not isinstance(algorithm, ParticleFilter):
            raise TypeError(f"algorithm: ParticleGibbs needs a ParticleFilter, got {type(algorithm).__name__}")
        if not isinstance(algorithm.proposal, Bootstrap):
            raise TypeError(f"proposal: ParticleGibbs needs Bootstrap(), got {type(algorithm.proposal).__name__}")
        check_density("ParticleGibbs", target.problem(start[0]).resolve().transition)
        draws, statistics, share = _sample(self, target, start, scale, jax.random.split(key, self.chains))
        worst = int(jnp.argmin(share))
        if share[worst] < _LEAST:
            words = f"the state before row {worst} changed in {float(share[worst]):.2g} of the sweeps"
            warnings.warn(f"{words}: chains stick; take more particles than size={algorithm.size}", stacklevel=3)
        return Drawn(draws, statistics, {"renewed": share})


def _joint(target, theta, path):
    """log p(theta, x, y)."""
    return target.sampled.log_prior(theta) + joint_level(Steps.of(target, theta), path)


def _driving(target, theta, path):
    """log p(theta, y | z); an initial state that no normals drive counts too."""
    steps = Steps.of(target, theta)
    opening = steps.opening(path[0]) if steps.start() is None else 0.0
    return target.sampled.log_prior(theta) + seen_level(steps, path) + opening


def _kept(target, path, theta, new):
    return path


def _carried(target, path, theta, new):
    return driven(Steps.of(target, theta), path, Steps.of(target, new))


_KINDS = ((_joint, _kept), (_driving, _carried))  # the density of a move, and what becomes of the path


def _moved(method, target, scale, state, each):
    """A step of theta of each kind."""
    (theta, path, walks), (i, key), learnt, accepted = state, each, [], []
    for (level, becomes), walk, own in zip(_KINDS, walks, jax.random.split(key), strict=True):
        first, second = jax.random.split(own)
        proposed = walk.proposed(theta, scale, first)
        thetas, paths = jnp.stack([theta, proposed]), jnp.stack([path, becomes(target, path, theta, proposed)])
        before, after = jax.vmap(lambda *pair, level=level: level(target, *pair))(thetas, paths)
        accept = jnp.log(jax.random.uniform(second, (), theta.dtype)) < after - before
        theta, path = jnp.where(accept, thetas[1], thetas[0]), jnp.where(accept, paths[1], paths[0])
        learnt.append(walk.learned(theta, accept, _ACCEPTED, i, method.warmup * method.moves))
        accepted.append(accept.astype(theta.dtype))
    return (theta, path, tuple(learnt)), sum(accepted) / len(accepted)


@eqx.filter_jit
def _sample(method, target, start, scale, keys):
    def chain(theta, key):
        def sweep(state, i):
            theta, path, walks = state
            first, second = jax.random.split(jax.random.fold_in(key, i))
            new = renewed(Steps.of(target, theta), path, target.algorithm.size, first)
            rows = i * method.moves + jnp.arange(method.moves), jax.random.split(second, method.moves)
            after, accepted = jax.lax.scan(lambda *each: _moved(method, target, scale, *each), (theta, new, walks), rows)
            told = after[0], jnp.mean(accepted), _joint(target, *after[:2]), jnp.any(new != path, axis=1)
            return after, told

        path = simulated(Steps.of(target, theta), jax.random.fold_in(key, 2**31 - 1))
        begun = theta, path, (Walk.begun(theta, scale),) * len(_KINDS)
        return jax.lax.scan(sweep, begun, jnp.arange(method.warmup + method.draws))[1]

    draws, accepted, level, changed = (part[:, method.warmup :] for part in jax.vmap(chain)(start, keys))
    return draws, {"acceptance_rate": accepted, "lp": level}, jnp.mean(changed, axis=(0, 1), dtype=draws.dtype)
