"""Thousands of parameters learned one datum at a time."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from filterlearn.beliefs.low_rank import LowRankGaussian
from filterlearn.clock import whole
from filterlearn.learners.base import AbstractScoreLearner
from filterlearn.protocol import AbstractAlgorithm, origin_of, strong
from filterlearn.scores.tangent import TangentScore


class LowRank(AbstractScoreLearner):
    """A Gaussian belief about theta whose precision is a diagonal and `rank` columns, D + W W' (Chang, Duran-Martin,
    Shestopaloff, Jones & Murphy 2023, arXiv:2305.19535), with the score and the Fisher information B B' of each datum from
    the filter inside and its tangent:

        theta <- theta + (D + W W' + B B')^-1 score,    D + W W' <- D + W W' + B B' cut back to `rank` columns,

    where those directions stay that tell the most against D, and what is cut adds its diagonal to D. Motion and forgetting
    are exact, and of the same rank. With rank >= p nothing is cut: `RecursiveMaximumLikelihood(filter, natural_gradient())`
    to rounding, exact where the state is known and the data are linear in theta. Below that, biased: it forgets how the
    errors of entries hang together, not how well each is known given the others. Derivatives hold the columns still.

    Memory O(p (rank + numbers of the filter's belief)), time O(p (rank + m^2)^2) and one reverse pass through the filter for
    each of those numbers, where they are fewer than p: no `(p, p)` matrix but for `.parameters.covariance`. `run` keeps every
    belief: give `save`. Takes the filters that `TangentScore` takes.

    Raises ValueError for parameters that move together, and where some forget and others do not.
    """

    filter: AbstractAlgorithm
    rank: int = eqx.field(static=True)

    def __check_init__(self):
        self._check_filter()
        whole("rank", self.rank, 1)

    @property
    def _score(self):
        return TangentScore()

    def _start(self, problem, time):
        p, dtype = problem.size, problem.median.dtype
        start = problem.start
        return LowRankGaussian(strong(start.mean), 1 / start.variance, jnp.zeros((p, self.rank), dtype), time), ()

    def _moved(self, problem, known, time):
        gap = time - origin_of(known.time, time)
        known = _forgotten(problem, known, gap)
        (mean, sd), (slope, _) = jax.jvp(
            lambda theta: problem.motion(theta, gap), (known.mean,), (jnp.ones_like(known.mean),)
        )
        if sd.ndim > 1:
            raise ValueError("dynamics: LowRank needs parameters that move one by one; give each entry a scale of its own")
        return known.moved(mean, slope, sd, time)

    def _learned(self, known, optimiser, score, factor):
        return known.informed(score, factor), optimiser

    def widened(self, problem, belief, kept, *, key=None):
        """The estimate and its precision; the tangent stays."""
        power = jnp.full(problem.size, kept, problem.median.dtype)
        new = belief.parameters.tempered(power, problem.median, problem.sd)
        return eqx.tree_at(lambda b: b.parameters, belief, new)


def _forgotten(problem, known, gap):
    """What is to be forgotten, forgotten."""
    entries, kept = problem.kept(gap)
    if not entries.size:
        return known
    if entries.size < problem.size:
        raise ValueError("dynamics: LowRank needs Forgetting for all parameters or for none; give it to the others too")
    return known.tempered(kept[np.argsort(entries)].astype(known.mean.dtype), problem.median, problem.sd)
