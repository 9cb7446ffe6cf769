"""How well a posterior predicts what it has not seen: one datum left out, or the future."""

import arviz as az
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from filterlearn.data import Dataset, Datum, checked
from filterlearn.inputs import by_row
from filterlearn.learners.joint import stacked
from filterlearn.models.family import ModelFamily
from filterlearn.numerics.densities import LOG_2PI
from filterlearn.numerics.masking import filled, masked_covariance, observed
from filterlearn.numerics.small import cholesky, lower_solve
from filterlearn.posteriors.base import Target
from filterlearn.posteriors.fit import fit
from filterlearn.posteriors.results import one_step, telling, terms_by_draw
from filterlearn.posteriors.warm import unconstrained
from filterlearn.protocol import scan
from filterlearn.smoothers.base import stacked as moved
from filterlearn.smoothers.rauch_tung_striebel import RauchTungStriebel

_LEFT_OUT = "leave one out: log p(y_k | all other data, theta), from the smoother"


def leave_one_out(tree, family, data, algorithm):
    """A fit's DataTree with log p(y_k | all other data, theta) for its `log_likelihood`, so that `az.loo` and `az.compare`
    judge predictions of a datum left out: what y_k told is taken out of the smoothed belief N(m, P) about its state,

        -e' S^-1 e / 2 - log|R| + log|S| / 2 - m log(2 pi) / 2,   e = y_k - H m - d,   S = R - H P H',

    which is Gaussian with error R S^-1 e and covariance R S^-1 R (de Jong 1988, doi:10.1093/biomet/75.3.594). Exact for
    linear-Gaussian models, biased like its filter otherwise, H being the slope at m. `az.loo` weighs the draws by one over
    these terms, which takes y_k out of the posterior of theta too (Buerkner, Gabry & Vehtari 2021,
    doi:10.1007/s00180-020-01045-4). `family`, `data` and `algorithm` are those of the fit.

    Raises TypeError for beliefs that are not Gaussian; ValueError where R is singular.
    """
    target = Target(family, algorithm, checked(data))
    terms = np.asarray(_left_out(target, unconstrained(tree["posterior"], target.sampled)))
    if not np.isfinite(terms).all():
        row = int(np.argwhere(~np.isfinite(terms))[0][2])
        raise ValueError(f"data: row {row} cannot be left out; the covariance of its observation must not be singular")
    return _with_terms(tree, terms, _LEFT_OUT)


def leave_future_out(tree, family, data, algorithm, method=None, *, first: int, horizon: int = 1, key):
    """The expected log predictive density of the next `horizon` data, after each from number `first` on (those that tell of
    theta are counted), by `az.lfo_cv`: the draws are weighed by Pareto-smoothed importance sampling, and `fit` draws anew,
    compiling nothing, where a Pareto k is above .7 (Buerkner, Gabry & Vehtari 2020, doi:10.1080/00949655.2020.1783262).

    Gives the `ELPDData`, pointwise, that `az.compare` takes. `tree` is the fit of all the data, and the other arguments are
    its own. Within a horizon each datum is predicted from those before it.
    """
    target = Target(family, algorithm, checked(data), jax.random.split(key)[1])
    terms = _one_step(target, unconstrained(tree["posterior"], target.sampled))
    every = _with_terms(tree, np.asarray(terms), tree["log_likelihood"].attrs.get("terms", ""))
    wrapper = _Refits(target, data, method, every["log_likelihood"], telling(np.asarray(terms)), key)
    return az.lfo_cv(every, wrapper, min_observations=first, forecast_horizon=horizon, pointwise=True)


class _Refits(az.SamplingWrapper):
    """`fit` on the data before a time, the rest missing, and its one-step terms of all."""

    def __init__(self, target, data, method, likelihood, rows, key):
        super().__init__(target)
        self.data, self.method, self.likelihood, self.rows, self.key = data, method, likelihood, rows, key

    def sel_observations(self, idx):
        values = self.data.values.at[self.rows[idx[0]] :].set(jnp.nan)
        kept = Dataset(self.data.times, values, self.data.inputs, origin=self.data.origin, unit=self.data.unit)
        return kept, idx

    def sample(self, modified_observed_data):
        return fit(self.model.family, modified_observed_data, self.model.algorithm, self.method, key=self.key)

    def get_inference_data(self, fitted_model):
        return fitted_model

    def log_likelihood__i(self, excluded_obs, idata__i):
        terms = _one_step(self.model, unconstrained(idata__i["posterior"], self.model.sampled))
        found = np.asarray(terms)[:, :, self.rows[excluded_obs]]
        return self.likelihood["y"].isel(time=excluded_obs).copy(data=found)


def _with_terms(tree, terms, label):
    """The tree with other terms of the data, those that are the same for every draw left out."""
    new, rows = tree.copy(), telling(terms)
    y = tree["observed_data"]["y"].isel(sensor=0, drop=True).isel(time=rows)
    draws = tree["posterior"].to_dataset()[["chain", "draw"]]
    made = draws.assign_coords(time=y["time"]).assign(y=(("chain", "draw", "time"), terms[..., rows]))
    new["log_likelihood"] = type(tree)(made.assign_attrs(terms=label))
    return new


@eqx.filter_jit
def _one_step(target, draws):
    return terms_by_draw(target, one_step, draws)


@eqx.filter_jit
def _left_out(target, draws):
    return terms_by_draw(target, _of_theta, draws)


def _of_theta(target, theta):
    """`left_out` at theta."""
    return left_out(target.algorithm, target.problem(theta), target.data, target.gaps)


def left_out(algorithm, problem, data, gaps):
    """log p(y_k | all other data), `(T,)`, by the filter and the smoother."""
    beliefs = scan(algorithm, problem, data, gaps, None, lambda belief, info: belief)[1]
    smoothed = moved(RauchTungStriebel(algorithm).backward(problem, beliefs, data, key=None))
    model = stacked(problem) if isinstance(problem, ModelFamily) else problem.resolve()
    rows, read = by_row(data.inputs)

    def one(belief, time, value, row):
        return _removed(model.observation, belief, Datum(time, value, read(row)))

    return jax.vmap(one)(smoothed, data.times, data.values, rows)


def _removed(observation, belief, datum):
    """log p(y_k | all other data) of one datum from the smoothed belief about its state."""
    law = lambda x: observation.moments(x, datum.time, datum.inputs)  # noqa: E731
    mask, (mean, r) = observed(datum.value), law(belief.mean)
    h = jax.jacfwd(lambda x: law(x)[0])(belief.mean)
    error = jnp.where(mask, observation.innovation(filled(datum.value, mean), mean), 0.0)
    noise = cholesky(masked_covariance(r, mask))
    left = cholesky(masked_covariance(r - h @ belief.covariance @ h.T, mask))
    white = lower_solve(left, error[:, None])[:, 0]
    sizes = jnp.log(jnp.diagonal(left)) - 2 * jnp.log(jnp.diagonal(noise))
    return jnp.sum(sizes) - 0.5 * jnp.sum(white**2) - 0.5 * LOG_2PI * jnp.sum(mask)
