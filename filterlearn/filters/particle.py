"""The particle filter."""

import equinox as eqx
import jax.numpy as jnp

from filterlearn.beliefs.particles import Particles
from filterlearn.clock import whole
from filterlearn.filters.base import particle_info
from filterlearn.models.base import starting_sample
from filterlearn.numerics.densities import normalise
from filterlearn.numerics.masking import choose, observed
from filterlearn.proposals.base import AbstractProposal, Moved, weighed
from filterlearn.proposals.bootstrap import Bootstrap
from filterlearn.protocol import AbstractAlgorithm, needed, origin_of, strong
from filterlearn.resamplers.adaptive import Adaptive
from filterlearn.resamplers.base import AbstractResampler
from filterlearn.resamplers.systematic import Systematic


class ParticleFilter(AbstractAlgorithm):
    """Moves points by a proposal, weighs them by density times transition over proposal, resamples after the weighting
    (Gordon, Salmond & Smith 1993, doi:10.1049/ip-f-2.1993.0015; Doucet, Godsill & Andrieu 2000,
    doi:10.1023/A:1008935410038).

    With `Bootstrap()` any transition that can be sampled, any density. The other proposals look at the datum while the points
    move, so they act in `step`, `run` and sessions; `predict` and `update` by themselves are those of `Bootstrap()`.
    exp(total log evidence) is unbiased; the log is low by about half its variance. The derivative of the evidence is biased
    unless the resampler carries it (`StopGradient`).
    """

    size: int = eqx.field(static=True)
    resampler: AbstractResampler = Adaptive(Systematic())
    proposal: AbstractProposal = Bootstrap()

    def __check_init__(self):
        whole("size", self.size, 2)
        if not isinstance(self.resampler, AbstractResampler):
            raise TypeError(f"resampler: a resampler is needed, got {self.resampler!r}")
        if not isinstance(self.proposal, AbstractProposal):
            raise TypeError(f"proposal: Bootstrap(), Guided() or another is needed, got {self.proposal!r}")

    def init(self, problem, *, key=None):
        """Points drawn from the initial law."""
        model = problem.resolve()
        self.proposal.check(model)
        points, time = starting_sample(model.initial, self.size, needed(key))
        return strong(Particles(points, jnp.full(self.size, -jnp.log(self.size), points.dtype), time))

    def predict(self, problem, belief, time, inputs=None, *, key=None):
        """Each point moved by the transition."""
        start = origin_of(belief.time, time)
        points = Bootstrap().moved(problem.resolve(), belief.points, start, time, inputs, key=needed(key))
        return Particles(points, belief.log_weights, time, belief.lineage)

    def update(self, problem, belief, datum, *, key=None):
        """Weights times the densities, then the resampler."""
        moved = weighed(problem.resolve().observation, belief.points, datum)
        return self.corrected(Bootstrap(), belief, moved, belief.time, datum, key)

    def step(self, problem, belief, datum, *, keys):
        """Points moved by the proposal, weighed and resampled."""
        return self.corrected(self.proposal, *self.proposed(problem, belief, datum, keys=keys), datum.time, datum, keys[1])

    def proposed(self, problem, belief, datum, *, keys) -> tuple[Particles, Moved]:
        """The points that the proposal moves, as they were before, and moved."""
        model, start, (first, second) = problem.resolve(), origin_of(belief.time, datum.time), map(needed, keys)
        chosen = self.proposal.before(model, belief, start, datum, self.resampler, key=second)
        return chosen, self.proposal.propose(model, chosen, start, datum, key=first)

    def corrected(self, proposal, before, moved, time, datum, key):
        """(belief, Info) of moved points: weighed and resampled, with what `before` carries beside each."""
        factors = jnp.where(jnp.isnan(moved.log_weights), -jnp.inf, moved.log_weights)
        weights, evidence = normalise(before.log_weights + factors)
        there, mask = Particles(moved.points, before.log_weights, time, before.lineage), observed(datum.value)
        info = particle_info(there, moved.told, mask, jnp.where(mask.any(), evidence, 0.0), weights)
        new = proposal.after(there, weights, self.resampler, key=needed(key))
        return choose(mask.any(), new, there), info
