"""What keeps parameter particles apart."""

import abc

import equinox as eqx

from filterlearn.beliefs.joint import NestedBelief


class AbstractMove(eqx.Module):
    """What `Nested` does to its parameter particles each time that they are resampled."""

    def begun(self, filter, problem, belief: NestedBelief) -> NestedBelief:
        """The belief before any datum, with the record that the move needs, if any."""
        return belief

    def reached(self, record, before, time, inputs):
        """The record once the belief has gone from the time `before` to a later one, where nothing is told yet."""
        return record

    def told(self, record, datum, log_evidence):
        """The record after a datum, to which each particle gave this log evidence `(M,)`."""
        return record

    def flags(self, record) -> int:
        """What the record asks for."""
        return 0

    def larger(self, flags: int) -> "AbstractMove":
        """The move with more room where flags ask for it."""
        return self

    def enlarged(self, filter, problem, belief: NestedBelief, flags: int, *, key) -> NestedBelief:
        """The belief of a smaller filter or with a smaller record, made that of `filter` and of this move."""
        return belief

    @abc.abstractmethod
    def moved(self, filter, problem, belief: NestedBelief, index, *, key) -> NestedBelief:
        """The belief after the ancestors `index` were chosen from a weighted one, and moved; equally weighted."""


class AbstractShift(AbstractMove):
    """A move of the parameters alone: what the filters inside know of the state stays."""

    @abc.abstractmethod
    def shifted(self, thetas, log_weights, index, prior_sd, *, key):
        """New thetas `(M, p)` for the ancestors `index`, given the weighted sample before resampling."""

    def moved(self, filter, problem, belief, index, *, key):
        """The ancestors with their parameters shifted."""
        cloud = belief.parameters
        thetas = self.shifted(cloud.points, cloud.log_weights, index, problem.sd, key=key)
        return eqx.tree_at(lambda b: b.parameters.points, belief.chosen(index), thetas.astype(cloud.points.dtype))
