"""Trajectories and logs of streams as one ArviZ DataTree."""

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

from filterlearn.beliefs.base import present
from filterlearn.beliefs.joint import AbstractJointBelief
from filterlearn.beliefs.particles import Lineage, Particles
from filterlearn.clock import datetimes
from filterlearn.data import clock
from filterlearn.protocol import FLAGS, Trajectory

_LEVELS = (0.05, 0.5, 0.95)
# the variables of `filter`, and what each has an entry for beside the time
_AXES = {
    **{"mean": "state", "variance": "state", "log_evidence": None, "pit": "sensor", "ess": None},
    **{"predicted_mean": "sensor", "predicted_variance": "sensor", "flags": None},
}


def times_of(data):
    """The time coordinate: datetimes where the data had them."""
    times = np.asarray(data.times, float)
    if data.unit is None or data.origin is None:
        return times
    return datetimes(times, data.origin, data.unit)


def entries(dataset):
    """(name, `(a, b)`) of each scalar entry of the variables `(a, b, ...)` of a dataset."""
    for name, array in dataset.data_vars.items():
        flat = array.to_numpy().reshape(*array.shape[:2], -1)
        index = np.ndindex(array.shape[2:])
        yield from ((f"{name}{list(i) if i else ''}", flat[..., k]) for k, i in enumerate(index))


def _parameters(belief, family):
    """Weighted or sampled constrained quantiles at each time, `(T, level, ...)`, by name."""

    def at(parameters, key):
        values = jax.vmap(family.constrain)(parameters.sample(1000, key=key))
        return jax.tree.map(lambda v: jnp.quantile(v, jnp.asarray(_LEVELS, v.dtype), axis=0), values)

    keys = jax.random.split(jax.random.key(0), belief.time.shape[0])
    return jax.lax.map(lambda each: at(each[0].parameters, each[1]), (belief, keys))


def to_datatree(source, family=None) -> xr.DataTree:
    """A trajectory, or the log of a stream (a list of the `Report` of each observation), as groups `observed_data` (y) and
    `filter`, with a `time` coordinate.

    `filter` holds mean (time, state), variance, log_evidence, pit, ess, predicted_mean, predicted_variance, flags, and for
    a learner `parameter_<name>` with the 5, 50 and 95 % quantiles on the dimension `level`; for a trajectory they need its
    `family`; after a `Genealogy` also `ancestors`, the number of first points left. Raises ValueError for an empty log.
    """
    if not isinstance(source, Trajectory):
        return rows_to_datatree([report.row() for report in source])
    beliefs, info = source.beliefs, source.info
    mean, variance = jax.lax.map(lambda b: (b.mean, jnp.diagonal(b.covariance)), beliefs)
    told = {"mean": mean, "variance": variance, "log_evidence": info.log_evidence, "pit": info.pit, "ess": info.ess}
    told |= {"predicted_mean": info.predicted[0], "predicted_variance": info.predicted[1], "flags": info.flags}
    learner = family is not None and isinstance(present(beliefs), AbstractJointBelief)
    if isinstance(beliefs, Particles) and isinstance(beliefs.lineage, Lineage):
        told["ancestors"] = jax.vmap(lambda b: b.ancestors)(beliefs)
    return _tree(times_of(source.data), source.data.values, told, _parameters(present(beliefs), family) if learner else {})


def rows_to_datatree(rows) -> xr.DataTree:
    """`to_datatree` of the rows of reports, or of the same read back from JSON Lines (null for what is not finite)."""
    if not rows:
        raise ValueError("source: an empty log; observe something first")
    if absent := [name for name in ("time", "value", "parameters", *_AXES) if name not in rows[0]]:
        raise ValueError(f"source: a row has no {absent[0]!r}; rows of reports are needed")
    columns = {name: np.array([row[name] for row in rows], float) for name in _AXES if name != "flags"}
    bits = {word: bit for bit, word in FLAGS.items()}
    columns["flags"] = np.array([sum(bits[word] for word in row["flags"]) for row in rows], np.int32)
    names = rows[0]["parameters"]
    bands = {name: np.array([row["parameters"][name]["quantiles"] for row in rows], float) for name in names}
    values = np.array([row["value"] for row in rows], float)
    return _tree(np.asarray(clock([row["time"] for row in rows])), values, columns, bands)


def _tree(times, values, told, bands):
    """The groups, from arrays with time first and bands `(time, level, ...)`."""
    dims = {name: ["time", axis] if (axis := _AXES.get(name)) else ["time"] for name in told}
    for name, band in bands.items():
        dims[f"parameter_{name}"] = ["time", "level", *(f"{name}_dim_{i}" for i in range(band.ndim - 2))]
    arrays = told | {f"parameter_{name}": band for name, band in bands.items()}
    data = {name: (axes, np.asarray(arrays[name])) for name, axes in dims.items()}
    observed = xr.Dataset({"y": (("time", "sensor"), np.asarray(values))}, {"time": times})
    filtered = xr.Dataset(data, {"time": times, "level": list(_LEVELS)})
    return xr.DataTree.from_dict({"observed_data": observed, "filter": filtered})
