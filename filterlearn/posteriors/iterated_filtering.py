"""The likelihood climbed by a particle filter, for models that can only be simulated."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp

from filterlearn.beliefs.joint import JointBelief
from filterlearn.beliefs.particles import Particles
from filterlearn.clock import whole
from filterlearn.data import checked
from filterlearn.filters.particle import ParticleFilter
from filterlearn.learners.joint import Joint
from filterlearn.models.base import starting_sample
from filterlearn.models.family import ModelFamily, Parameter
from filterlearn.models.gaps import distinct_gaps
from filterlearn.models.parameter_dynamics.base import AbstractDynamics
from filterlearn.protocol import AbstractAlgorithm, log_evidence, needed, scan, strong
from filterlearn.resamplers.systematic import Systematic


class _Perturbed(AbstractDynamics):
    """A step of standard deviation `sd` at each datum, whatever the gap."""

    sd: Any

    def moments(self, theta, gap, prior):
        return theta, jnp.broadcast_to(self.sd, theta.shape)


class _Restarted(AbstractAlgorithm):
    """The joint particle filter, started from given parameters, each moved once."""

    inner: AbstractAlgorithm
    thetas: Any

    def init(self, problem, *, key=None):
        first, second = jax.random.split(needed(key))
        thetas = self.thetas + problem.motion(problem.median, 0.0)[1] * jax.random.normal(
            first, self.thetas.shape, self.thetas.dtype
        )

        def start(theta, k):
            points, time = starting_sample(problem(theta).resolve().initial, 1, k)
            return points[0], time

        states, times = jax.vmap(start)(thetas, jax.random.split(second, len(thetas)))
        weights = jnp.full(len(thetas), -jnp.log(len(thetas)), thetas.dtype)
        points = jnp.concatenate([states, thetas], axis=1)
        return strong(JointBelief(Particles(points, weights, times[0]), states.shape[1]))

    def predict(self, problem, belief, time, inputs=None, *, key=None):
        return self.inner.predict(problem, belief, time, inputs, key=key)

    def update(self, problem, belief, datum, *, key=None):
        return self.inner.update(problem, belief, datum, key=key)

    def step(self, problem, belief, datum, *, keys):
        return self.inner.step(problem, belief, datum, keys=keys)


class IteratedFiltering(eqx.Module):
    """Maximum likelihood by passes of a particle filter whose parameters are perturbed before every datum, each pass from the
    parameters that the one before left, by less each time (IF2: Ionides, Nguyen, Atchade, Stoev & King 2015,
    doi:10.1073/pnas.1410597112):

        theta <- theta + sd_m e at each datum,    sd_m = scale cooling^m x the prior's sd,    m = 0..passes - 1,

    on the unconstrained scale, weighed and resampled with the state. Consistent for the maximum as the particles grow in
    number and the last perturbations shrink; the prior is where the first pass starts, and does not count. The model is
    simulated, and only the observation needs a density. Cost: `passes` particle filters.
    """

    filter: AbstractAlgorithm
    passes: int = eqx.field(static=True)
    scale: Any = 0.1
    cooling: Any = 0.9

    def __check_init__(self):
        whole("passes", self.passes, 1)
        if not isinstance(self.filter, ParticleFilter):
            raise TypeError(f"filter: ParticleFilter is needed, got {type(self.filter).__name__}")

    def maximise(self, family, data, *, key):
        """(theta, their mean over the particles after each pass `(passes, p)`).

        Raises TypeError for a problem that is not a family, ValueError for parameters that move.
        """
        if not isinstance(family, ModelFamily):
            raise TypeError(f"family: a ModelFamily is needed, got {type(family).__name__}")
        if family.moving:
            raise ValueError(f"family: {list(family.moving)} move, and a point is sought; give them Static dynamics")
        means = _climbed(self, family, checked(data), distinct_gaps(data.times), key)
        return means[-1], means

    def profile(self, family, data, name, values, *, key, replicates: int = 4):
        """The log evidence `(k,)` at each of k constrained `values` of one parameter, largest over the others: each found
        by a climb of its own, then the log of the mean of `replicates` estimates of the evidence there."""

        def at(value, k):
            first, second = jax.random.split(k)
            held = family.hold({name: value})
            theta = self.maximise(held, data, key=first)[0]
            keys = jax.random.split(second, replicates)
            each = jax.vmap(lambda own: log_evidence(self.filter, held(theta), data, key=own))(keys)
            return jax.nn.logsumexp(each) - jnp.log(replicates)

        values = jnp.asarray(values, family.median.dtype)
        return eqx.filter_jit(jax.vmap(at))(values, jax.random.split(key, len(values)))


@eqx.filter_jit
def _climbed(method, family, data, gaps, key):
    """The mean of theta after each pass."""
    names = family.names
    still = {name: Parameter(given.prior) for name, given in family.parameters.items()}
    law = ModelFamily(family.build, still, {names: _Perturbed(jnp.zeros(family.size, family.median.dtype))})
    first, rest = jax.random.split(key)

    def one(thetas, row):
        m, own = row
        sd = method.scale * method.cooling**m * family.sd
        perturbed = eqx.tree_at(lambda f: f.dynamics[names].sd, law, sd)
        climb, last = jax.random.split(own)
        begun = _Restarted(Joint(method.filter), thetas)
        belief = scan(begun, perturbed, data, gaps, climb, lambda belief, info: info.log_evidence)[0]
        index = Systematic().ancestors(belief.stacked.log_weights, key=last)
        thetas = belief.stacked.points[index, belief.split :]
        return thetas, jnp.mean(thetas, axis=0)

    start = family.sample_prior(method.filter.size, key=first)
    rows = jnp.arange(method.passes, dtype=start.dtype), jax.random.split(rest, method.passes)
    return jax.lax.scan(one, start, rows)[1]
