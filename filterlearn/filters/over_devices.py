"""One filter over many devices."""

from typing import Any

import equinox as eqx
import jax
from jax.sharding import NamedSharding, PartitionSpec

from filterlearn.beliefs.ensemble import Ensemble
from filterlearn.beliefs.particles import Particles
from filterlearn.protocol import AbstractAlgorithm


class OverDevices(AbstractAlgorithm):
    """The filter inside, its members or particles parted over the first axis of a `mesh` of devices, each of which holds and
    moves N / devices of them.

    The compiler puts in what must pass between devices: sums for moments and weights, members for a transform and for
    ancestors (Xu et al. 2021, arXiv:2105.04663). So the answer is that of one device, and exact, consistent or biased as
    that is, up to the order of sums: about 1e-12 in double precision; of particles the same ancestors, unless two of them are
    that close. For ensembles and particles, alone or inside a `Joint` learner.

    Raises TypeError for another belief, and ValueError for a size that the devices do not divide.
    """

    filter: AbstractAlgorithm
    mesh: Any = eqx.field(static=True)

    def _parted(self, belief):
        found = []

        def part(node):
            if not isinstance(node, Ensemble | Particles):
                return node
            found.append(points := node.members if isinstance(node, Ensemble) else node.points)
            return jax.tree.map(lambda leaf: self._over(leaf, len(points)), node)

        parted = jax.tree.map(part, belief, is_leaf=lambda node: isinstance(node, Ensemble | Particles))
        if not found:
            raise TypeError(f"filter: one of members or particles is needed, got a belief {type(belief).__name__}")
        return parted

    def _over(self, leaf, size):
        axis = self.mesh.axis_names[0]
        if size % (devices := self.mesh.shape[axis]):
            raise ValueError(f"filter: a size that {devices} devices divide is needed, got {size}")
        parts = PartitionSpec(axis) if leaf.ndim and leaf.shape[0] == size else PartitionSpec()
        return jax.lax.with_sharding_constraint(leaf, NamedSharding(self.mesh, parts))

    def init(self, problem, *, key=None):
        """That of the filter, parted."""
        return self._parted(self.filter.init(problem, key=key))

    def predict(self, problem, belief, time, inputs=None, *, key=None):
        """Likewise."""
        return self._parted(self.filter.predict(problem, belief, time, inputs, key=key))

    def update(self, problem, belief, datum, *, key=None):
        """Likewise."""
        after, info = self.filter.update(problem, belief, datum, key=key)
        return self._parted(after), info

    def step(self, problem, belief, datum, *, keys):
        """Likewise."""
        after, info = self.filter.step(problem, belief, datum, keys=keys)
        return self._parted(after), info
