"""What is wrong with a fit or a filtered series, in words."""

import arviz as az
import numpy as np

from filterlearn.diagnostics.scores import consistency, innovations
from filterlearn.diagnostics.step_size import objection
from filterlearn.diagnostics.table import Table, cell
from filterlearn.protocol import FLAGS

_RHAT, _ESS = 1.01, 100  # Vehtari et al. 2021, sec. 4: R-hat, and effective draws for each chain
_KOLMOGOROV = 1.9495  # sqrt(T) x the distance from uniform is beyond it once in 1,000 calibrated series
_PARETO = 0.7  # Vehtari et al. 2024, sec. 4
_NORMAL = 3.2905  # sds beyond which a normal number is once in 1,000
_HALF = "half_step_"  # of the names of what halving the step did


def _worst(tree, method):
    """The R-hat or ESS of every scalar entry, by name."""
    dataset = method(tree["posterior"].dataset)
    return [(name, np.asarray(array, float)) for name, array in dataset.data_vars.items()]


def _chains(tree):
    """Have the chains mixed, and are there enough effective draws (Vehtari et al. 2021, doi:10.1214/20-BA1221)?"""
    chains = tree["posterior"].sizes["chain"]
    if chains == 1:
        yield "chains", "1", "R-hat needs at least 2; draw more chains"
    for name, value in _worst(tree, az.rhat):
        if (worst := np.max(value)) > _RHAT:
            yield (
                name,
                f"R-hat {worst:.3f}",
                f"above {_RHAT}: the chains disagree; draw longer, or start from a filter's belief",
            )
    for kind in ("bulk", "tail"):
        for name, value in _worst(tree, lambda draws, kind=kind: az.ess(draws, method=kind)):
            if not (least := np.min(value)) >= _ESS * chains:
                yield name, f"{kind} ESS {least:.0f}", f"below {_ESS} for each of {chains} chains; draw longer"


def _divergences(tree):
    statistics = tree["sample_stats"].data_vars if "sample_stats" in tree.children else {}
    if "diverging" in statistics and (count := int(statistics["diverging"].sum())):
        yield (
            "sampler",
            f"{count} divergences",
            "the posterior is too curved for the step; reparametrise or narrow the priors",
        )


def _approximation(tree):
    """Does what the draws are of cover the posterior (Vehtari et al. 2024, arXiv:1507.02646)?"""
    k = tree["sample_stats"].attrs.get("pareto_k", 0.0) if "sample_stats" in tree.children else 0.0
    if not k <= _PARETO:
        cure = "the approximation misses part of the posterior; start a sampler from it, fit(..., start=tree)"
        yield "posterior", f"Pareto k {k:.2f}", f"above {_PARETO}: {cure}"


def _flags(tree):
    flags, times = tree["filter"]["flags"].values, tree["filter"]["time"].values
    for bit, word in FLAGS.items():
        where = np.flatnonzero(flags & bit)
        if where.size:
            yield "filter", f"{word}: {where.size} times", f"first at {cell(times[where[0]])}, row {where[0]}"


def _calibration(tree):
    """The distance of the predictive distribution functions at the data from uniform (Kolmogorov 1933)."""
    for i, column in enumerate(tree["filter"]["pit"].values.T):
        told = np.sort(column[np.isfinite(column)])
        steps = np.arange(len(told) + 1) / max(len(told), 1)
        distance = max(np.max(steps[1:] - told, initial=0), np.max(told - steps[:-1], initial=0))
        if distance * len(told) ** 0.5 > _KOLMOGOROV:
            cause = "the predictions are not calibrated (or the values are counts); look at the picture"
            yield f"sensor {i}", f"PIT {distance:.3f} from uniform", cause


def _innovations(tree):
    """Their squares (NIS) against the chi-squared band, and their correlation from one datum to the next (Bar-Shalom, Li &
    Kirubarajan 2001, doi:10.1002/0471221279, sec. 5.4)."""
    for i, column in enumerate(innovations(tree).T):
        told = column[np.isfinite(column)]
        squares = consistency(told**2)
        if squares.words:
            yield f"sensor {i}", f"NIS {squares.ratio:.3g}", squares.words
        if len(told) > 1 and (total := np.sum(told**2)) > 0:
            correlation = np.sum(told[1:] * told[:-1]) / total
            if abs(correlation) * len(told) ** 0.5 > _NORMAL:
                cause = "an error tells of the next: the model misses a part of the dynamics, or of the noise"
                yield f"sensor {i}", f"innovations correlated, {correlation:.2f}", cause


def _steps(tree):
    attrs = tree["filter"].attrs
    found = {name.removeprefix(_HALF): value for name, value in attrs.items() if name.startswith(_HALF)}
    words = objection(**found) if found else None
    if words:
        yield "steps", f"{attrs['steps']}", words


def findings(tree) -> Table:
    """What is wrong, the gravest first; no rows when nothing was found.

    Flags of the filter, divergences, a Pareto k above .7, R-hat above 1.01, bulk or tail ESS below 100 a chain, a step
    whose halving moves the log evidence by more than 1 nat or a parameter by a quarter of its sd, beyond three standard
    errors, and a PIT, a NIS or innovations correlated in time that a calibrated series shows once in 1,000.
    """
    groups = {"filter": (_flags, _steps, _innovations, _calibration), "posterior": (_chains, _divergences, _approximation)}
    checks = [check for group, several in groups.items() if group in tree.children for check in several]
    order = (_flags, _divergences, _approximation, _chains, _steps, _innovations, _calibration)
    rows = [row for check in sorted(checks, key=order.index) for row in check(tree)]
    return Table("Warnings" if rows else "Warnings: none", ("of", "found", "what to know"), rows)
