"""What is wrong with a filtered series, in words."""

import numpy as np

from filterlearn.diagnostics.scores import consistency
from filterlearn.diagnostics.scores import innovations as normal_scores
from filterlearn.diagnostics.step_size import objection
from filterlearn.diagnostics.table import cell
from filterlearn.protocol import FLAGS

_KOLMOGOROV = 1.9495  # sqrt(T) x the distance from uniform is beyond it once in 1,000 calibrated series
_NORMAL = 3.2905  # sds beyond which a normal number is once in 1,000
_FEW, _OFTEN = 10, 0.05  # points, effective or first of their line, and the share of data at which there may be fewer
_HALF = "half_step_"  # of the names of what halving the step did


def flags(tree):
    """What the filter flagged."""
    flags, times = tree["filter"]["flags"].values, tree["filter"]["time"].values
    for bit, word in FLAGS.items():
        where = np.flatnonzero(flags & bit)
        if where.size:
            yield "filter", f"{word}: {where.size} times", f"first at {cell(times[where[0]])}, row {where[0]}"


def calibration(tree):
    """The distance of the predictive distribution functions at the data from uniform (Kolmogorov 1933)."""
    for i, column in enumerate(tree["filter"]["pit"].values.T):
        told = np.sort(column[np.isfinite(column)])
        steps = np.arange(len(told) + 1) / max(len(told), 1)
        distance = max(np.max(steps[1:] - told, initial=0), np.max(told - steps[:-1], initial=0))
        if distance * len(told) ** 0.5 > _KOLMOGOROV:
            cause = "the predictions are not calibrated (or the values are counts); look at the picture"
            yield f"sensor {i}", f"PIT {distance:.3f} from uniform", cause


def innovations(tree):
    """Their squares (NIS) against the chi-squared band, and their correlation from one datum to the next (Bar-Shalom, Li &
    Kirubarajan 2001, doi:10.1002/0471221279, sec. 5.4)."""
    for i, column in enumerate(normal_scores(tree).T):
        told = column[np.isfinite(column)]
        squares = consistency(told**2)
        if squares.words:
            yield f"sensor {i}", f"NIS {squares.ratio:.3g}", squares.words
        if len(told) > 1 and (total := np.sum(told**2)) > 0:
            correlation = np.sum(told[1:] * told[:-1]) / total
            if abs(correlation) * len(told) ** 0.5 > _NORMAL:
                cause = "an error tells of the next: the model misses a part of the dynamics, or of the noise"
                yield f"sensor {i}", f"innovations correlated, {correlation:.2f}", cause


def steps(tree):
    """Is the step small enough?"""
    attrs = tree["filter"].attrs
    found = {name.removeprefix(_HALF): value for name, value in attrs.items() if name.startswith(_HALF)}
    words = objection(**found) if found else None
    if words:
        yield "steps", f"{attrs['steps']}", words


def lines(tree):
    """Do the points descend from few (Jacob, Murray & Rubenthaler 2015, doi:10.1007/s11222-013-9445-x)?"""
    left = tree["filter"]["ancestors"].to_numpy()
    few = np.flatnonzero(left < _FEW)
    if few.size:
        cure = "take BackwardSampling(n) or FixedLag(filter, lag) for the past, more points, or Adaptive resampling"
        found = f"{left[-1]} first points left after {len(left)} data"
        yield "paths", found, f"below {_FEW} from row {few[0]}: the paths are the same before, and say little of it; {cure}"


def weights(tree):
    """Do a few points carry the weight?"""
    ess = tree["filter"]["ess"].to_numpy()
    told = ess[np.isfinite(ess)]
    few = int((told < _FEW).sum())
    if few > _OFTEN * len(told):
        cure = "too few particles; take more, or a proposal that looks at the datum, such as Guided()"
        yield "filter", f"ESS below {_FEW} at {few} of {len(told)} data", f"least {told.min():.2g}: {cure}"
