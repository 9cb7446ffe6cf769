"""Trajectories and draws as one ArviZ DataTree."""

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

from filterlearn.beliefs.joint import AbstractJointBelief
from filterlearn.clock import datetimes
from filterlearn.protocol import Trajectory

_LEVELS = (0.05, 0.5, 0.95)


def times_of(data):
    """The time coordinate: datetimes where the data had them."""
    times = np.asarray(data.times, float)
    if data.unit is None or data.origin is None:
        return times
    return datetimes(times, data.origin, data.unit)


def _parameters(belief, family):
    """Weighted or sampled constrained quantiles at each time, `(T, level, ...)`, by name."""

    def at(parameters, key):
        values = jax.vmap(family.constrain)(parameters.sample(1000, key=key))
        return jax.tree.map(lambda v: jnp.quantile(v, jnp.asarray(_LEVELS, v.dtype), axis=0), values)

    keys = jax.random.split(jax.random.key(0), belief.time.shape[0])
    return jax.lax.map(lambda each: at(each[0].parameters, each[1]), (belief, keys))


def to_datatree(trajectory: Trajectory, family=None) -> xr.DataTree:
    """A trajectory as groups `observed_data` (y) and `filter`, with a `time` coordinate.

    `filter` holds mean (time, state), variance, log_evidence, pit, ess, predicted_mean, predicted_variance, flags, and for
    a learner, when its `family` is given, `parameter_<name>` with the 5, 50 and 95 % quantiles on the dimension `level`.
    """
    beliefs, info = trajectory.beliefs, trajectory.info
    mean, variance = jax.lax.map(lambda b: (b.mean, jnp.diagonal(b.covariance)), beliefs)
    variables = {
        "mean": (("time", "state"), mean),
        "variance": (("time", "state"), variance),
        "log_evidence": (("time",), info.log_evidence),
        "pit": (("time", "sensor"), info.pit),
        "ess": (("time",), info.ess),
        "predicted_mean": (("time", "sensor"), info.predicted[0]),
        "predicted_variance": (("time", "sensor"), info.predicted[1]),
        "flags": (("time",), info.flags),
    }
    if family is not None and isinstance(beliefs, AbstractJointBelief):
        for name, bands in _parameters(beliefs, family).items():
            extra = [f"{name}_dim_{i}" for i in range(bands.ndim - 2)]
            variables[f"parameter_{name}"] = (("time", "level", *extra), bands)
    coords = {"time": times_of(trajectory.data), "level": list(_LEVELS)}
    data = {name: (dims, np.asarray(values)) for name, (dims, values) in variables.items()}
    observed = xr.Dataset({"y": (("time", "sensor"), np.asarray(trajectory.data.values))}, {"time": coords["time"]})
    return xr.DataTree.from_dict({"observed_data": observed, "filter": xr.Dataset(data, coords)})
