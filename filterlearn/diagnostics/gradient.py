"""Is the derivative of a filter that draws worth following?"""

import dataclasses
import warnings
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from filterlearn.data import Dataset, checked
from filterlearn.models.family import BoundFamily, ModelFamily
from filterlearn.models.gaps import Gaps, distinct_gaps
from filterlearn.protocol import AbstractAlgorithm, scan

_KEYS = 32  # the standard deviation of one derivative is then known to an eighth


@dataclasses.dataclass(frozen=True)
class GradientReport:
    """Of each entry of theta, by its name: the derivative of the log evidence, as its `mean` over runs with the standard
    `error` of that, the standard `deviation` of one run's, and `scale`, the larger of the mean's size and of the root of the
    observed information, which is how much the exact derivative varies with the data. `repeats` is the number of runs."""

    names: tuple[str, ...]
    mean: np.ndarray
    deviation: np.ndarray
    scale: np.ndarray
    repeats: int

    @property
    def error(self) -> np.ndarray:
        """The standard error of the mean."""
        return self.deviation / self.repeats**0.5

    @property
    def useless(self) -> tuple[str, ...]:
        """The entries of which one run's derivative is more noise than what it has to tell, or is not finite."""
        return tuple(self.names[k] for k in np.flatnonzero(~(self.deviation <= self.scale)))

    @property
    def words(self) -> str:
        """What is wrong and what to do; empty where nothing is."""
        found = [
            f"by {name!r} it deviates by {self.deviation[k]:.3g} from its mean {self.mean[k]:.3g} +- {self.error[k]:.2g}, "
            f"where the data tell {self.scale[k]:.3g}; "
            for k, name in enumerate(self.names)
            if name in self.useless
        ]
        cure = (
            "take more particles, a Gaussian filter, Fisher's identity over paths of BackwardSampling, or ParticleMCMC, "
            "which takes no derivative"
        )
        return f"the derivative of the log evidence in one run is mostly noise: {''.join(found)}{cure}" if found else ""


class _Terms(eqx.Module):
    """The one-step terms of the evidence as a function of theta."""

    algorithm: AbstractAlgorithm
    family: ModelFamily
    data: Dataset
    gaps: Gaps

    def __call__(self, theta, key):
        return scan(self.algorithm, self.family(theta), self.data, self.gaps, key, lambda belief, info: info.log_evidence)[1]


def check_gradient(algorithm, problem, data, *, key) -> GradientReport:
    """Compares the noise of the derivative of the log evidence with what it has to tell, and warns where it drowns.

    `problem` is `family(theta)`; the derivatives are by the entries of theta, at theta, over 32 keys. Warns for an entry
    whose derivative in one run deviates by more than its own mean and more than the root of the observed information,
    sum_k g_k^2 of the terms' mean derivatives g_k, less what their noise adds. A filter that draws no random numbers never
    warns. A bias shared by all runs is not seen: compare with more particles. Raises TypeError for a problem without theta.
    """
    if not isinstance(problem, BoundFamily):
        raise TypeError(f"problem: family(theta) is needed, got {type(problem).__name__}")
    terms = _Terms(algorithm, problem.family, checked(data), jax.tree.map(jnp.asarray, distinct_gaps(data.times)))
    report = gradient_report(terms, problem.theta, problem.family.entries, key)
    if report.useless:
        warnings.warn(report.words, stacklevel=2)
    return report


def gradient_report(terms, theta, names, key) -> GradientReport:
    """Of `terms(theta, key)`, a module that returns the one-step terms `(T,)`."""
    mean, deviation, information = map(np.asarray, _moments(terms, theta, jax.random.split(key, _KEYS)))
    return GradientReport(names, mean, deviation, np.maximum(abs(mean), np.sqrt(np.maximum(information, 0.0))), _KEYS)


@eqx.filter_jit
def _moments(terms, theta, keys) -> tuple[Any, Any, Any]:
    """Mean and standard deviation over keys of each derivative, and the observed information; work that needs no key is done
    once."""

    def one(direction):
        slopes = jax.vmap(lambda key: jax.jvp(lambda th: terms(th, key), (theta,), (direction,))[1])(keys)
        away = slopes - slopes[0]  # exactly 0 where no key is needed
        total, each = jnp.std(away.sum(1), ddof=1), jnp.mean(slopes, axis=0)
        return slopes.sum(1).mean(), total, jnp.sum(each**2 - jnp.var(away, axis=0, ddof=1) / len(keys))

    return jax.lax.map(one, jnp.eye(theta.shape[0], dtype=theta.dtype))
