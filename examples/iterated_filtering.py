"""A profile likelihood by iterated filtering, against the exact one.

A level that relaxes at rate .5 towards an unknown mean, driven by noise .5, seen 60 times at unit gaps with unknown noise
(mean 1, noise .4, seed 3). The likelihood of the mean, largest over the noise, is tried at 21 values by
`IteratedFiltering(ParticleFilter(200), 30)` and made an interval by `adjusted_profile`; the model is linear and Gaussian, so
that the exact profile is known by `Kalman`. Target: the ends of the interval within a quarter of the likelihood's sd of the
exact ones (Ionides et al. 2017, doi:10.1098/rsif.2017.0126, for the method; the experiment is our own).

    python examples/iterated_filtering.py
"""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
from scipy.optimize import brentq, minimize_scalar

import filterlearn as fl

METHOD = fl.IteratedFiltering(fl.ParticleFilter(200), 30, cooling=0.87)


def level_family():
    """The level, its mean and the noise of its sensor unknown."""

    def build(p):
        level = fl.LinearSDE([[-0.5]], [[0.5]], 0.5 * p["mean"][None])
        seen = fl.LinearGaussianObservation([[1.0]], p["noise"][None, None] ** 2)
        return fl.StateSpaceModel(fl.Gaussian([0.0], 1.0, time=0.0), level, seen)

    return fl.ModelFamily(
        build, {"mean": fl.Parameter(dist.Normal(0.0, 2.0)), "noise": fl.Parameter(dist.LogNormal(0.0, 1.0))}
    )


def level_data(length=60):
    """A series of it."""
    family, times = level_family(), np.arange(1.0, length + 1.0)
    theta = family.unconstrain({"mean": 1.0, "noise": 0.4})
    return fl.Dataset(times, fl.simulate(family(theta), times, key=jax.random.key(3))[1])


def exact_interval():
    """(the mean that is most likely, the ends of its 95 % profile interval)."""
    family, data = level_family(), level_data()
    evidence = jax.jit(lambda mean, noise: fl.log_evidence(fl.Kalman(), family(jnp.stack([mean, noise])), data))

    def lost(mean):
        return minimize_scalar(lambda noise: -float(evidence(mean, noise)), bounds=(-3.0, 2.0), method="bounded").fun

    best = minimize_scalar(lost, bounds=(-3.0, 5.0), method="bounded")
    ends = [brentq(lambda mean: lost(mean) - best.fun - 1.920729, best.x, best.x + far) for far in (-4.0, 4.0)]
    return best.x, *ends


def found_interval(seed=0):
    """The same by iterated filtering, with its Monte-Carlo error."""
    values = np.linspace(-0.5, 2.4, 21)
    evidence = METHOD.profile(level_family(), level_data(), "mean", values, key=jax.random.key(seed))
    return fl.adjusted_profile(values, evidence, span=1.0)


def main():
    """Prints both."""
    print("exact: most likely {:.3f}, interval {:.3f} to {:.3f}".format(*exact_interval()))
    print(found_interval())


if __name__ == "__main__":
    jax.config.update("jax_enable_x64", True)
    main()
