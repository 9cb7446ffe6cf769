"""Measles in England, weekly 1950-63: the log evidence of a population process by particles, at published parameters.

Susceptible, exposed and infectious people move in steps of a day, C are those who recovered since the last datum:

    foi = beta(t) (I + iota)^alpha / pop(t) dW / dt,   dW ~ Gamma(dt / sigmaSE^2, sigmaSE^2),   births ~ Poisson(br dt),
    those who leave a class ~ Binomial(n, 1 - exp(-(r + mu) dt)), of whom Binomial(., r / (r + mu)) go on and the others die,
    cases ~ N(rho C, rho C (1 - rho + psi^2 rho C)) rounded,

with contacts higher in school terms and a part of the births entering all at once on day 251, from births four years before
and population by smoothing splines (He, Ionides & King 2010, doi:10.1098/rsif.2009.0151). The transmission rate is
R0 (1 - exp(-(gamma + mu) dt)) / dt in a step of a day, and one zero that is no count (London, 26 August 1955) is 76, as
there. Score: the log of the mean over keys 0 to 4 of the evidence with 1,000 particles, within 3 of the published -296.5
(Mold) and -3804.9 (London). Without school terms London's must be missed. Needs FILTERLEARN_DATA.

    python examples/measles.py [results.jsonl]
"""

import csv
import functools
import json
import os
import sys
import time
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
from jax.scipy.special import logsumexp
from jax.scipy.stats import norm
from scipy.interpolate import make_smoothing_spline

import filterlearn as fl

PUBLISHED = {"Mold": -296.5, "London": -3804.9}
SIZE, KEYS, DAY, DELAY = 1000, 5, 1 / 365.25, 4
FIRST, LAST = 1950, 1963


class Population(fl.AbstractTransition):
    """(S, E, I, C) from one datum to the next, in steps of a day; inputs are pop and birth rate."""

    p: dict
    steps: int = eqx.field(static=True, default=7)

    def noise_shape(self, x, u=None):
        """A key, drawn by `draw_noise`."""
        return (2,)

    def draw_noise(self, n, x, u=None, *, key):
        """A key for each."""
        return jax.random.key_data(jax.random.split(key, n))

    def push(self, x, t0, t1, u, noise):
        """One by itself."""
        return self.sample_many(x[None], t0, t1, u, key=jax.random.wrap_key_data(noise))[0]

    def sample_many(self, xs, t0, t1, u=None, *, key):
        """All at once, nobody counted at the start."""
        h = (t1 - t0) / self.steps
        start = xs.at[:, 3].set(0.0)

        def one(k, x):
            return self._day(x, t0 + k * h, h, u, jax.random.fold_in(key, k))

        moved = jax.lax.fori_loop(0, self.steps, one, start)
        return jnp.where(h > 0, moved, xs)

    def _day(self, x, t, h, u, key):
        p, (pop, births) = self.p, u(t)
        first, second, third, fourth = jax.random.split(key, 4)
        h = jnp.where(h > 0, h, DAY)
        white = jax.random.gamma(first, h / p["sigmaSE"] ** 2, x.shape[:1], x.dtype) * p["sigmaSE"] ** 2
        force = self._contact(t, h) * (x[:, 2] + p["iota"]) ** p["alpha"] / pop * white / h
        rates = jnp.stack([force, jnp.full_like(force, p["sigma"]), jnp.full_like(force, p["gamma"])], axis=1)
        leaving = jax.random.binomial(second, x[:, :3], -jnp.expm1(-(rates + p["mu"]) * h), dtype=x.dtype)
        onward = jax.random.binomial(third, leaving, rates / (rates + p["mu"]), dtype=x.dtype)
        at_once = jnp.abs(t - jnp.floor(t) - 251 / 365) < 0.5 * h
        rate = births * (1 - p["cohort"]) * h + jnp.where(at_once, births * p["cohort"], 0.0)
        born = jax.random.poisson(fourth, rate, x.shape[:1]).astype(x.dtype)
        entering = jnp.stack([born, onward[:, 0], onward[:, 1]], axis=1)
        return jnp.concatenate([x[:, :3] + entering - leaving, x[:, 3:] + onward[:, 2:]], axis=1)

    def _contact(self, t, h):
        """The transmission rate: higher in school terms."""
        p, day = self.p, (t - jnp.floor(t)) * 365.25
        terms = [(7, 100), (115, 199), (252, 300), (308, 356)]
        term = functools.reduce(jnp.logical_or, [(day >= a) & (day <= b) for a, b in terms])
        season = jnp.where(term, 1 + p["amplitude"] * 0.2411 / 0.7589, 1 - p["amplitude"])
        return p["R0"] * season * -jnp.expm1(-(p["gamma"] + p["mu"]) * h) / h


class Reports(fl.AbstractObservation):
    """A rounded normal about the reported share of C; what is below zero is zero."""

    p: dict

    def _law(self, x):
        mean = self.p["rho"] * x[3]
        return mean, jnp.sqrt(mean * (1 - self.p["rho"] + self.p["psi"] ** 2 * mean)) + 1e-18

    def log_prob(self, y, x, t, u=None):
        """Of the whole interval that is rounded to y."""
        mean, sd = self._law(x)
        below = jnp.where(y[0] > 0, norm.cdf(y[0] - 0.5, mean, sd), 0.0)
        return jnp.where(jnp.isnan(y[0]), 0.0, jnp.log(norm.cdf(y[0] + 0.5, mean, sd) - below + 1e-18))

    def sample(self, x, t, u=None, *, key):
        """One draw, rounded."""
        mean, sd = self._law(x)
        return jnp.maximum(jnp.round(mean + sd * jax.random.normal(key, (1,), x.dtype)), 0.0)


def rows(name):
    """A table of the data, by column."""
    path = Path(os.environ["FILTERLEARN_DATA"]) / "uk_measles" / f"{name}.csv"
    with open(path, newline="") as file:
        table = list(csv.DictReader(file))
    return {column: [row[column] for row in table] for column in table[0]}


def smoothed(years, values, times):
    """A smoothing spline by generalised cross-validation, straight outside its years."""
    spline = make_smoothing_spline(years, values)
    inside = np.clip(times, years[0], years[-1])
    return spline(inside) + spline.derivative()(inside) * (times - inside)


def published(town):
    """The parameters of a town."""
    table = rows("he2010_mle")
    return {name: float(column[table["town"].index(town)]) for name, column in table.items() if name != "town"}


def problem(town, p):
    """(model, data): the town's weekly cases, with its population and births as inputs."""
    weekly = rows("weekly_cases")
    days = (np.array(weekly["date"], "datetime64[D]") - np.datetime64(f"{FIRST}-01-01")).astype(float)
    times, cases = days * DAY + FIRST, np.array(weekly[town], float)
    cases[(np.array(weekly["date"]) == "1955-08-26") & (town == "London")] = 76.0
    used = (times > FIRST) & (times < LAST + 1)
    months = np.arange(FIRST - 1, LAST + 2, 1 / 12)
    population, births = rows("yearly_population"), rows("yearly_births")
    years = np.array(population["year"], float)
    pop = smoothed(years, np.array(population[town], float), months)
    rate = smoothed(years + 0.5, np.array(births[town], float), months - DELAY)
    inputs = fl.Linear(months, np.stack([pop, rate], axis=1))
    data = fl.Dataset(times[used], cases[used], inputs)
    start = 2 * data.times[0] - data.times[1]
    shares = np.array([p["S_0"], p["E_0"], p["I_0"]]) / sum(p[f"{name}_0"] for name in "SEIR")
    first = jnp.append(jnp.round(jnp.asarray(inputs(start))[0] * shares), 0.0)
    return fl.StateSpaceModel(fl.Initial(dist.Delta(first, event_dim=1), start), Population(p), Reports(p)), data


def log_mean_exp(levels):
    """The log of the mean of the evidences."""
    return float(logsumexp(jnp.asarray(levels)) - jnp.log(len(levels)))


def score(town, size=SIZE, keys=KEYS, **changed):
    """The log evidence by each key, with some of the parameters changed."""
    model, data = problem(town, published(town) | changed)
    filter = fl.ParticleFilter(size)
    return [float(fl.log_evidence(filter, model, data, key=jax.random.key(k))) for k in range(keys)]


def main(path="results/measles.jsonl"):
    """Prints and writes the scores of both towns."""
    with open(path, "w") as file:
        for town, target in PUBLISHED.items():
            start = time.perf_counter()
            levels, flat = score(town), score(town, keys=1, amplitude=0.0)
            row = {"town": town, "levels": levels, "together": log_mean_exp(levels), "published": target, "no terms": flat[0]}
            print(row, f"{time.perf_counter() - start:.0f} seconds", flush=True)
            file.write(json.dumps(row) + "\n")


if __name__ == "__main__":
    jax.config.update("jax_enable_x64", True)
    main(*sys.argv[1:])
