"""What is wrong with a fit or a filtered series, in words."""

from filterlearn.diagnostics import of_draws, of_series
from filterlearn.diagnostics.table import Table

_CHECKS = (  # the gravest first, with what each reads
    ("filter/flags", of_series.flags),
    ("posterior", of_draws.still),
    ("posterior", of_draws.divergences),
    ("posterior", of_draws.approximation),
    ("posterior", of_draws.noise),
    ("filter/ess", of_series.weights),
    ("filter/ancestors", of_series.lines),
    ("posterior", of_draws.chains),
    ("posterior", of_draws.unidentified),
    ("filter", of_series.steps),
    ("filter/pit", of_series.innovations),
    ("filter/pit", of_series.calibration),
)


def _has(tree, path):
    """Is there such a group, or variable of a group?"""
    group, _, name = path.partition("/")
    return group in tree.children and (not name or name in tree[group].data_vars)


def findings(tree) -> Table:
    """What is wrong, the gravest first; no rows when nothing was found.

    Flags of the filter; a chain that stands still for a tenth of its draws; divergences; a Pareto k above .7; a log evidence
    whose variance over keys is above 3, or 3 / sqrt(blocks); an effective size below 10 at more than one datum in twenty;
    paths of a `Genealogy` from fewer than 10 first points; R-hat above 1.01, bulk or tail ESS below 100 a chain; a parameter
    of which the data say nothing, or two known only together; a step whose halving moves the log evidence by more than 1 nat
    or a parameter by a quarter of its sd, beyond three standard errors; and a PIT, a NIS or innovations correlated in time
    that a calibrated series shows once in 1,000. What reads a variable that the tree lacks is left out.
    """
    rows = [row for path, check in _CHECKS if _has(tree, path) for row in check(tree)]
    return Table("Warnings" if rows else "Warnings: none", ("of", "found", "what to know"), rows)
