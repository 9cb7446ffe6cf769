"""How many particles particle MCMC wants."""

import dataclasses

from filterlearn.data import checked
from filterlearn.posteriors.base import Target
from filterlearn.posteriors.fit import starting_points
from filterlearn.posteriors.particle_mcmc import ParticleMCMC, best_noise, evidence_noise, particles_of

_BAND = (0.5, 2.0)  # of the variance of the log evidence over the best
_ROUNDS, _MOST, _LEAST = 8, 8.0, 8  # sizes tried, their largest ratio, the least of them


def sized(family, data, algorithm, method=None, *, start=None, key):
    """The algorithm with the number of particles at which `ParticleMCMC`, or the `method` given, is fastest: half the
    variance of the difference of two log evidences near 1 (Doucet, Pitt, Deligiannidis & Kohn 2015,
    doi:10.1093/biomet/asu075), or 1 / sqrt(blocks).

    The variance falls as 1 / size. It is measured by 32 pairs at the likeliest starting point of `fit`, `start` as there, and
    again at each size that follows from it, until it is between half and twice that; each size compiles the filter once.
    Where the prior is wide, draws of a rough posterior as `start`, by `SMC` or `Pathfinder`, save particles that only bad
    thetas need. Raises TypeError for an algorithm without particles, ValueError when 8 sizes do not lead there.
    """
    method, size = ParticleMCMC() if method is None else method, particles_of(algorithm)
    target = Target(family, algorithm, checked(data), key)
    if size is None:
        raise TypeError(f"algorithm: a ParticleFilter, or a learner around one, is needed, got {type(algorithm).__name__}")
    theta = starting_points(target, 1, start, key)[0][0]
    for _ in range(_ROUNDS):
        variance = float(evidence_noise(target, theta, method.blocks, key)) / best_noise(method.blocks)
        if _BAND[0] < variance < _BAND[1]:
            break
        factor = min(max(variance, 1 / _MOST), _MOST) if variance > 0 else _MOST
        new = max(round(size * factor), _LEAST)
        if new == size:
            break
        size, target = new, Target(family, _resized(target.algorithm, new), data, key)
    else:
        raise ValueError(
            f"algorithm: the log evidence has {variance:.3g} times the best variance, and {size} particles are not enough"
        )
    return target.algorithm


def _resized(algorithm, size):
    inside = getattr(algorithm, "filter", None)
    if particles_of(inside) is None:
        return dataclasses.replace(algorithm, size=size)
    return dataclasses.replace(algorithm, filter=_resized(inside, size))
