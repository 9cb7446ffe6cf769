"""The smoother of ensembles."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.core import Tracer

from filterlearn.beliefs.ensemble import Ensemble
from filterlearn.inputs import by_row
from filterlearn.protocol import AbstractAlgorithm, needed, step, step_keys, stream_keys
from filterlearn.smoothers.base import AbstractSmoother, followed, neighbours, restacked, stacked


class EnsembleRauchTungStriebel(AbstractSmoother):
    """A backward pass over the ensembles of `filter`, member by member (Raanes 2016, doi:10.1002/qj.2728):

        x_k|T = x_k + J (x_k+1|T - x_k+1|k),   J = A_k A_k+1|k^+,

    with A the anomalies, and x_k+1|k the members that the filter predicted from x_k, drawn anew by the key of its run. Where
    there are at least as many states as members less one, equal to the ensemble Kalman smoother of Evensen & van Leeuwen
    (2000, doi:10.1175/1520-0493(2000)128<1852:AEKSFN>2.0.CO;2), which `FixedLag` computes online. Member i of all times is a
    draw of the whole path. Consistent for linear-Gaussian models as N grows, biased at finite N; tapers of the analysis are
    not known to it. Costs one more simulation of each gap. With `Joint(filter)` it smooths state and parameters together.

    `smooth` needs the `key` of the run, ValueError for another; TypeError for beliefs that are not ensembles.
    """

    filter: AbstractAlgorithm

    def check_run(self, problem, trajectory, key):
        """The first analysis, made anew, must be that of the trajectory."""
        there = jax.tree.map(lambda leaf: leaf[0], self._ensembles(trajectory.beliefs))
        if isinstance(needed(key), Tracer) or isinstance(there.members, Tracer):
            return
        here = stacked(_first(self.filter, problem, trajectory.data, key)).members
        slack = jnp.finfo(here.dtype).eps ** (1 / 3) * jnp.max(jnp.abs(there.members))
        if not jnp.max(jnp.abs(here - there.members)) <= slack:
            raise ValueError(
                "key: with it the filter does not give the first belief of the trajectory; give the key of the run"
            )

    def _ensembles(self, beliefs):
        if not isinstance(stacked(beliefs), Ensemble):
            name = type(stacked(beliefs)).__name__
            raise TypeError(f"trajectory: ensembles are needed, got {name}; filter with EnsembleKalman")
        return stacked(beliefs)

    def backward(self, problem, beliefs, data, *, key):
        """One scan from the last ensemble to the first."""
        rows, read = by_row(data.inputs)
        keys = stream_keys(needed(key), len(data))

        def one(after, each):
            belief, time, row, own = each
            ahead = stacked(self.filter.predict(problem, belief, time, read(row), key=step_keys(own)[0])).members
            members = stacked(belief).members
            new = members + followed(after - ahead, ahead, members)
            return new, new

        last = self._ensembles(beliefs).members[-1]
        earlier = jax.lax.scan(one, last, neighbours(beliefs, beliefs.time, rows, keys[1:]), reverse=True)[1]
        whole = jnp.concatenate([earlier, last[None]])
        return restacked(beliefs, eqx.tree_at(lambda b: b.members, stacked(beliefs), whole))


@eqx.filter_jit
def _first(filter, problem, data, key):
    """The belief after the first datum."""
    keys = stream_keys(key, len(data))
    return step(filter, problem, filter.init(problem, key=keys[0]), data.datum(0), key=keys[1])[0]
