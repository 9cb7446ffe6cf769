"""What a fleet compiles: starts and steps of many beliefs side by side, over a mesh of devices where there is one."""

from functools import lru_cache

import jax
import jax.numpy as jnp
from jax.sharding import NamedSharding, PartitionSpec

from filterlearn import protocol
from filterlearn.numerics.leaves import joined
from filterlearn.streams.compiled import advanced


def _chosen(mask, new, old):
    return jax.tree.map(lambda a, b: jnp.where(mask, jnp.asarray(a, b.dtype), b), new, old)


def _start(arrays, form, kind, data):
    algorithm, problem = joined(arrays, form)
    key = jax.random.fold_in(jax.random.wrap_key_data(data, impl=kind), 0)
    return protocol.strong(algorithm.init(problem, key=key))


@lru_cache(maxsize=64)
def begun(rest):
    """`(arrays, keys) -> beliefs` before any datum, stacked; `rest` as for `compiled`."""
    return jax.jit(lambda arrays, keys: jax.vmap(lambda data: _start(arrays, *rest, data))(keys))


@lru_cache(maxsize=64)
def renewed(rest):
    """The same in the place of those chosen by a mask."""

    def some(arrays, beliefs, keys, mask):
        return jax.vmap(lambda belief, data, here: _chosen(here, _start(arrays, *rest, data), belief))(beliefs, keys, mask)

    return jax.jit(some)


@lru_cache(maxsize=64)
def stepped(rest, mesh):
    """One step of each series that has a datum: `(arrays, beliefs, counts, rows, inputs, keys, mask) -> (beliefs, told)`.
    With a mesh the series are parted over its first axis, and nothing passes between the parts."""
    form, kind = rest

    def one(arrays, belief, k, row, inputs, data, here):
        algorithm, problem = joined(arrays, form)
        after, told = advanced(algorithm, problem, belief, k, row, inputs, jax.random.wrap_key_data(data, impl=kind))
        return _chosen(here, after, belief), told

    def all_of_them(arrays, *columns):
        return jax.vmap(lambda *own: one(arrays, *own))(*columns)

    if mesh is None:
        return jax.jit(all_of_them)
    parts, whole = PartitionSpec(mesh.axis_names[0]), PartitionSpec()
    columns = (parts,) * 6
    return jax.jit(jax.shard_map(all_of_them, mesh=mesh, in_specs=(whole, *columns), out_specs=parts))


def placed(tree, mesh):
    """Stacked arrays with their first axis over that of the mesh, or as they are."""
    return tree if mesh is None else jax.device_put(tree, NamedSharding(mesh, PartitionSpec(mesh.axis_names[0])))
