"""How good the one-step predictions of a filtered series were."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import scoringrules
from jaxtyping import Array, Float
from scipy.special import ndtri
from scipy.stats import chi2

from filterlearn.diagnostics.results import to_datatree
from filterlearn.numerics.masking import masked_covariance, observed
from filterlearn.numerics.small import semidefinite_solve
from filterlearn.protocol import Trajectory

_RARE = 1e-3  # how often a sound filter is outside its band


def predictive_scores(source, predicted=None, *, levels=(0.5, 0.9)):
    """Each datum against its prediction, as a Dataset on the times of `source`, a trajectory or a DataTree with `filter`.

    `log_score (time)` is log p(y_k | y_1..k-1); `crps (time, sensor)` the continuous ranked probability score, the integral
    of (F(z) - 1[y <= z])^2 dz; `pit` F(y); `inside (time, sensor, inside_level)` whether y is in its central interval of each
    level; `innovation` Phi^-1(F(y)), standard normal and independent over time when the predictions are right, and
    (y - mean) / sd where they are Gaussian; `nis` its square, chi-squared of 1 degree (`consistency`). NaN where missing.

    `predicted`, the draws of `predictions` `(time, draws, sensor)`, adds two of all sensors together: `energy (time)`, the
    energy score E|Y - y| - E|Y - Y'| / 2, and `joint_nis (time)`, e' S^-1 e by the moments of the draws, chi-squared of as
    many degrees as sensors were observed. `crps` then is theirs too; without, that of a Gaussian of the predicted moments.
    Log score: higher is better; CRPS and energy: lower. Gneiting & Raftery 2007, doi:10.1198/016214506000001437; Bar-Shalom,
    Li & Kirubarajan 2001, doi:10.1002/0471221279, sec. 5.4 (NIS).
    """
    tree = to_datatree(source) if isinstance(source, Trajectory) else source
    filtered, y = tree["filter"].dataset, tree["observed_data"]["y"].to_numpy()
    pit, seen = filtered["pit"].to_numpy(), ~np.isnan(y)
    mean, sd = filtered["predicted_mean"].to_numpy(), np.sqrt(filtered["predicted_variance"].to_numpy())
    normal = innovations(tree)
    sensors, inside = ("time", "sensor"), np.abs(pit - 0.5)[..., None] <= np.asarray(levels) / 2
    log_score = filtered["log_evidence"].where(seen.any(axis=1))
    told = {
        "log_score": ("time", log_score.to_numpy()),
        "crps": (sensors, np.asarray(scoringrules.crps_normal(y, mean, sd))),
        "pit": (sensors, pit),
        "inside": ((*sensors, "inside_level"), np.where(seen[..., None], inside, np.nan)),
        "innovation": (sensors, normal),
        "nis": (sensors, normal**2),
    }
    if predicted is not None:
        crps, energy, joint = map(np.asarray, _by_draws(jnp.asarray(y), jnp.asarray(predicted)))
        told |= {"crps": (sensors, crps), "energy": ("time", energy), "joint_nis": ("time", joint)}
    return filtered[["time"]].assign(told).assign_coords(inside_level=list(levels))


def innovations(tree):
    """Phi^-1 of the PIT `(time, sensor)`, or (y - mean) / sd where that is infinite; NaN where y is missing."""
    filtered, y = tree["filter"].dataset, tree["observed_data"]["y"].to_numpy()
    sd = np.sqrt(filtered["predicted_variance"].to_numpy())
    with np.errstate(divide="ignore", invalid="ignore"):
        plain = (y - filtered["predicted_mean"].to_numpy()) / sd
    normal = ndtri(filtered["pit"].to_numpy())
    return np.where(np.isinf(normal), plain, normal)


@eqx.filter_jit
def _by_draws(y, draws):
    """(CRPS of each sensor, energy score, NIS) of the entries that were observed, one datum after another."""

    def one(each):
        y, draws = each
        told = observed(y)
        crps = scoringrules.crps_ensemble(y, draws, m_axis=0, estimator="fair", backend="jax")
        value, points = jnp.where(told, y, 0.0), jnp.where(told, draws, 0.0)
        energy = scoringrules.es_ensemble(value, points, m_axis=0, estimator="fair", backend="jax")
        some = told.any()
        return crps, jnp.where(some, energy, jnp.nan), jnp.where(some, _squared(value, points, told), jnp.nan)

    return jax.lax.map(one, (y, draws))


def _squared(y, draws, told):
    """e' S^-1 e, scaled so that its mean is the number of sensors when y and the N draws have one Gaussian law (Hotelling
    1931, doi:10.1214/aoms/1177732979)."""
    n, m = draws.shape[0], jnp.sum(told)
    centred = draws - draws.mean(axis=0)
    error, spread = y - draws.mean(axis=0), masked_covariance(centred.T @ centred / (n - 1), told)
    return (n - m - 2) / (n - 1) / (1 + 1 / n) * error @ semidefinite_solve(spread, error[:, None])[:, 0]


@eqx.filter_jit
def nees(belief, states: Float[Array, "T n"]) -> Float[Array, "T"]:
    """(x - m)' P^-1 (x - m), the normalised estimation error squared of beliefs stacked over time, given the true states;
    where P is singular, in the directions that it has.

    Chi-squared of n degrees when the filter is right and Gaussian. Over independent runs `consistency` judges their mean;
    over time the errors are correlated. Bar-Shalom, Li & Kirubarajan 2001, doi:10.1002/0471221279, sec. 5.4.
    """

    def one(each):
        belief, x = each
        error = x - belief.mean
        return error @ semidefinite_solve(belief.covariance, error[:, None])[:, 0]

    return jax.lax.map(one, (belief, states))


@dataclasses.dataclass(frozen=True)
class Consistency:
    """The mean of NIS or NEES over its degrees of freedom, which is 1 for a sound filter, and the band in which it then is
    but once in 1,000 series."""

    ratio: float
    low: float
    high: float

    @property
    def words(self) -> str:
        """What is wrong, and what to do; empty when nothing is."""
        if self.ratio > self.high:
            cure = "the filter is overconfident; raise its process or observation noise, its inflation or its size"
        elif self.ratio < self.low:
            cure = "the filter is underconfident; lower its process or observation noise, or its inflation"
        else:
            return ""
        side = "above" if self.ratio > self.high else "below"
        return f"{side} its band {self.low:.3g} to {self.high:.3g}: {cure}"


def consistency(squares, degrees=1) -> Consistency:
    """Judges independent chi-squared numbers, NIS over time or NEES over runs, each of `degrees`: a number or one for each.
    NaN entries are left out. Exact when the predictions are Gaussian, and for `nis` of `predictive_scores` whatever their law
    is."""
    squares = np.asarray(squares, float)
    told = np.isfinite(squares)
    total = np.broadcast_to(degrees, squares.shape)[told].sum()
    if not total:
        return Consistency(1.0, 0.0, np.inf)
    low, high = chi2.ppf([_RARE / 2, 1 - _RARE / 2], total) / total
    return Consistency(float(squares[told].sum() / total), float(low), float(high))
