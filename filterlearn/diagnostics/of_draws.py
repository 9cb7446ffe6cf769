"""What is wrong with the draws of a posterior, in words."""

import arviz as az
import numpy as np
from scipy.stats import rankdata

from filterlearn.diagnostics.results import entries

_RHAT, _ESS = 1.01, 100  # Vehtari et al. 2021, sec. 4: R-hat, and effective draws for each chain
_PARETO = 0.7  # Vehtari et al. 2024, sec. 4
_STILL, _SHARE = 100, 0.1  # draws, and share of a chain, that it may stand still
_MANY = 100  # times
_NOISE = 3.0  # variance of a log evidence above which chains stick (Doucet et al. 2015)
_TIED, _WEAK = 0.99, 0.05  # rank correlation; sensitivity below which the likelihood says nothing (Kallioinen et al. 2023)


def _worst(tree, method):
    """The R-hat or ESS of every scalar entry, by name."""
    dataset = method(tree["posterior"].dataset)
    return [(name, np.asarray(array, float)) for name, array in dataset.data_vars.items()]


def chains(tree):
    """Have the chains mixed, and are there enough effective draws (Vehtari et al. 2021, doi:10.1214/20-BA1221)?"""
    count = tree["posterior"].sizes["chain"]
    if count == 1:
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
            if not (least := np.min(value)) >= _ESS * count:
                yield name, f"{kind} ESS {least:.0f}", f"below {_ESS} for each of {count} chains; draw longer"


def divergences(tree):
    """Did trajectories diverge?"""
    statistics = tree["sample_stats"].data_vars if "sample_stats" in tree.children else {}
    if "diverging" in statistics and (number := int(statistics["diverging"].sum())):
        yield (
            "sampler",
            f"{number} divergences",
            "the posterior is too curved for the step; reparametrise or narrow the priors",
        )


def approximation(tree):
    """Does what the draws are of cover the posterior (Vehtari et al. 2024, arXiv:1507.02646)?"""
    k = tree["sample_stats"].attrs.get("pareto_k", 0.0) if "sample_stats" in tree.children else 0.0
    if not k <= _PARETO:
        cure = "the approximation misses part of the posterior; start a sampler from it, fit(..., start=tree)"
        yield "posterior", f"Pareto k {k:.2f}", f"above {_PARETO}: {cure}"


def _flat(dataset, posterior):
    """The numbers of a dataset, in the order of the entries of the posterior."""
    return np.concatenate([np.ravel(dataset[name].values) for name in posterior.data_vars])


def still(tree):
    """Does a chain stand still?"""
    draws = np.stack([each for _, each in entries(tree["posterior"].dataset)], axis=-1)
    length = draws.shape[1]
    for chain, each in enumerate(draws):
        moved = np.flatnonzero(np.any(each[1:] != each[:-1], axis=1)) + 1
        longest = int(np.diff([0, *moved, length]).max())
        if longest >= min(length, max(_STILL, _SHARE * length)):
            cause = (
                "what it accepted there was too good to leave: a density estimated with too much noise, or too long a step"
            )
            cure = "take more particles, a longer warmup, or another start"
            yield f"chain {chain}", f"stuck for {longest} of {length} draws", f"{cause}; {cure}"


def noise(tree):
    """Is the evidence that chains walk on too noisy (Doucet, Pitt, Deligiannidis & Kohn 2015, doi:10.1093/biomet/asu075)?"""
    told = tree["sample_stats"].attrs if "sample_stats" in tree.children else {}
    variance, best = told.get("evidence_variance", 0.0), told.get("best_variance", 1.0)
    if not variance <= _NOISE * best:
        more = f"{np.ceil(variance / best):.0f} times as many" if variance < _MANY * best else "very many more"
        cure = f"too few particles; take {more}, or a proposal that looks at the datum, such as Guided()"
        yield "evidence", f"its logarithm varies by {variance:.3g} over keys", f"above {_NOISE * best:.2g}: {cure}"


def unidentified(tree):
    """Is a posterior its prior (power-scaling: Kallioinen, Paananen, Buerkner & Vehtari 2023,
    doi:10.1007/s11222-023-10366-5), or are two parameters known only together?"""
    least = min(np.min(each) for _, each in _worst(tree, az.ess))
    if {"log_prior", "log_likelihood"} <= set(tree.children) and least > _ESS:
        told = [_flat(az.psense(tree, group=group), tree["posterior"]) for group in ("prior", "likelihood")]
        for (name, _), prior, likelihood in zip(entries(tree["posterior"].dataset), *told, strict=True):
            if prior >= _WEAK > likelihood:
                cure = "the data say nearly nothing of it; fix it, or observe what depends on it"
                yield name, f"prior {prior:.2g}, data {likelihood:.2g}", f"power-scaling: what is drawn is the prior; {cure}"
    names, draws = zip(*((name, each.ravel()) for name, each in entries(tree["posterior"].dataset)), strict=True)
    moves = [k for k, each in enumerate(draws) if np.ptp(each) > 0]
    ties = np.atleast_2d(np.corrcoef(rankdata([draws[k] for k in moves], axis=1))) if moves else np.zeros((0, 0))
    for i, j in np.argwhere(np.tril(abs(ties) > _TIED, -1)):
        cure = "the data tell of a combination of the two only; fix one, or take the combination as the parameter"
        yield f"{names[moves[j]]}, {names[moves[i]]}", f"rank correlation {ties[i, j]:.3f}", cure
