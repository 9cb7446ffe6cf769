"""Resampling that looks ahead."""

import jax.numpy as jnp

from filterlearn.beliefs.particles import Particles
from filterlearn.numerics.densities import normalise
from filterlearn.numerics.masking import choose, observed
from filterlearn.proposals.base import AbstractProposal

_DEPTH = 30.0  # nats below the best guess


class Auxiliary(AbstractProposal):
    """Resamples before the points move, by weight times a guess g(x) of p(y | x), then moves them by `proposal` and divides
    their weights by the guess (Pitt & Shephard 1999, doi:10.1080/01621459.1999.10474153). Consistent; exp(evidence) is
    unbiased (Pitt, Silva, Giordani & Kohn 2012, doi:10.1016/j.jeconom.2012.06.004), with an index resampler.

    The guess is that of the proposal: with `Guided()` the density of the linearised datum, exact for a linear Gaussian
    observation, so that the weights are then even; with `Bootstrap()` the density where the transition leads without noise,
    which may be far too sharp where the noise is large: compare the `ess`. Raises TypeError for a model that the proposal
    does not take.
    """

    proposal: AbstractProposal

    def __check_init__(self):
        if not isinstance(self.proposal, AbstractProposal) or isinstance(self.proposal, Auxiliary):
            raise TypeError(f"proposal: Bootstrap(), Guided() or ModifiedBridge() is needed, got {self.proposal!r}")

    def check(self, model):
        """That of the proposal inside."""
        self.proposal.check(model)

    def propose(self, model, belief, start, datum, *, key):
        """That of the proposal inside."""
        return self.proposal.propose(model, belief, start, datum, key=key)

    def lookahead(self, model, points, start, datum):
        """That of the proposal inside, -inf where it is not a number."""
        guesses = self.proposal.lookahead(model, points, start, datum)
        return jnp.where(jnp.isnan(guesses), -jnp.inf, guesses)

    def before(self, model, belief, start, datum, resampler, *, key):
        """Resampled by weight times guess, the guess taken out again; no guess is so far below the best that it rules a point
        out."""
        guesses = self.lookahead(model, belief.points, start, datum)
        best = jnp.max(guesses)
        least = jnp.where(jnp.isfinite(best), best - _DEPTH, 0.0)
        weights, total = normalise(belief.log_weights + jnp.maximum(guesses, least))
        new = belief.resampled(resampler, weights, key=key)
        again = jnp.maximum(self.lookahead(model, new.points, start, datum), least)
        chosen = Particles(new.points, new.log_weights - again + total, belief.time, new.lineage)
        return choose(observed(datum.value).any(), chosen, belief)

    def after(self, belief, log_weights, resampler, *, key):
        """As they are: the next datum resamples them."""
        return Particles(belief.points, log_weights, belief.time, belief.lineage)
