"""The main job on real data: S&P 500 volatility, online and offline."""

import time
import warnings
from pathlib import Path
from typing import Any, Literal

import arviz as az
import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

import filterlearn as fl
from filterlearn import datasets, volatility
from filterlearn.diagnostics.plots import volatility_picture

_INSIDE = 300  # states in the offline particle filter
_START = 1000  # days before the score begins
_LEVELS = (0.05, 0.5, 0.95)


def _scored(belief, info):
    """Score, PIT and ESS."""
    return info.log_evidence, info.pit[0], info.ess


def _banded(belief, info):
    """The same, with bands of the daily volatility and of the moving level, and the parameters' means."""
    levels, state = jnp.asarray(_LEVELS, jnp.float32), belief.state
    variance = fl.Particles(state.points[:, 1:2], state.log_weights, state.time).quantile(levels)[:, 0]
    level = belief.parameters.quantile(levels)[:, volatility.family().names.index("level")]
    return *_scored(belief, info), jnp.sqrt(variance), level, belief.parameters.mean


def garch_scores(returns: np.ndarray, *, every: int = 252) -> dict[str, np.ndarray]:
    """One-step log scores of the rivals on the scored days, refitted every `every` days on the past only."""
    from arch import arch_model

    scores = {}
    forms: dict[str, tuple[int, Literal["normal", "t"]]] = {
        "GARCH(1,1)": (0, "normal"),
        "GARCH(1,1) Student-t": (0, "t"),
        "GJR": (1, "normal"),
        "GJR Student-t": (1, "t"),
    }
    for name, form in forms.items():
        model, out = arch_model(returns, mean="Constant", vol="GARCH", p=1, o=form[0], q=1, dist=form[1]), []
        for start in range(_START, len(returns), every):
            fitted = model.fit(last_obs=start, disp="off")
            sigma2 = model.fix(fitted.params).conditional_volatility ** 2
            stop = min(start + every, len(returns))
            shape = fitted.params[-1:].to_numpy() if form[1] == "t" else np.empty(0)
            residuals = returns[start:stop] - fitted.params["mu"]
            terms = model.distribution.loglikelihood(shape, residuals, sigma2[start:stop], individual=True)
            out.append(np.asarray(terms))
        scores[f"{name}, refitted"] = np.concatenate(out)
    return scores


def riskmetrics(returns: np.ndarray, decay: float = 0.94) -> np.ndarray:
    """Scores of the exponentially weighted variance with zero mean."""
    variance, out = np.var(returns[:_START]), []
    for k, r in enumerate(returns):
        if k >= _START:
            out.append(-0.5 * (np.log(2 * np.pi * variance) + r**2 / variance))
        variance = decay * variance + (1 - decay) * r**2
    return np.array(out)


def newey_west(gain: np.ndarray, lags: int = 20) -> float:
    """Standard error of a mean under autocorrelation (Newey & West 1987, doi:10.2307/1913610)."""
    e = gain - gain.mean()
    total = np.mean(e**2) + 2 * sum((1 - j / (lags + 1)) * np.mean(e[j:] * e[:-j]) for j in range(1, lags + 1))
    return float(np.sqrt(total / len(e)))


def track(data, keys: int):
    """Scores of each key, and the bands of the first."""
    family, algorithm, runs = volatility.family(), volatility.tracker(), []
    for k in range(keys):
        start = time.perf_counter()
        save = _scored if k else _banded
        out = [np.asarray(part) for part in fl.run(algorithm, family, data, key=jax.random.key(k), save=save).saved]
        rate = len(data) / (time.perf_counter() - start)
        runs.append(out)
        print(f"  key {k}: log score {out[0][_START:].mean():.4f}, {rate:,.0f} observations per second", flush=True)
    return runs


def _table(runs, returns):
    """Ours beside the rivals."""
    rivals = {"RiskMetrics (.94)": riskmetrics(returns), **garch_scores(returns)}
    ours = np.mean([run[0][_START:] for run in runs], axis=0)
    each = [float(run[0][_START:].mean()) for run in runs]
    print(f"\nMean one-step log score, days {_START + 1:,} to {len(returns):,}")
    for name, terms in rivals.items():
        print(f"  {name:32s} {terms.mean():8.4f}")
    print(f"  {'filterlearn, mean of keys':32s} {np.mean(each):8.4f}   (keys: {', '.join(f'{s:.4f}' for s in each)})")
    best = max(rivals, key=lambda name: rivals[name].mean())
    gain = ours - rivals[best]
    print(f"  gain over {best}: {gain.mean():.4f}, Newey-West standard error {newey_west(gain):.4f}")
    counts = np.histogram(runs[0][1][_START:], 10, (0, 1))[0]
    print(f"  PIT in tenths (uniform: {len(ours) // 10} each): {counts.tolist()}")
    print(f"  effective parameter particles: median {np.median(runs[0][2]):.0f}, least {runs[0][2].min():.1f}")


def _offline(data, start):
    """The posterior of the same family on the last 1,000 days, by particle MCMC started from the online belief."""
    method = fl.ParticleMCMC(warmup=150, draws=250, chains=2)
    last = data[-1000:]
    series = fl.Dataset(last.times - last.times[0] + 1, last.values)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the level is meant to be static here, and the table says so
        return fl.fit(volatility.family(), series, fl.ParticleFilter(_INSIDE), method, start=start, key=jax.random.key(0))


def main(out: Path, keys: int) -> None:
    """Everything, printed and written under `out`."""
    out.mkdir(parents=True, exist_ok=True)
    data, dates = datasets.sp500()
    returns = np.asarray(data.values[:, 0], float)
    print(f"S&P 500, {len(data):,} daily returns: 64 parameter particles x 128 states, {keys} keys")
    runs = track(data, keys)
    _table(runs, returns)
    score, pit, ess, band, level, centres = runs[0]
    columns = {"log_evidence": score, "pit": pit, "ess": ess}
    beliefs: dict[str, Any] = {name: ("time", v) for name, v in columns.items()}
    beliefs |= {"volatility": (("time", "quantile"), band), "level": (("time", "quantile"), level)}
    xr.Dataset(beliefs, {"time": dates, "quantile": list(_LEVELS)}).to_netcdf(out / "beliefs.nc")
    session = fl.Session(volatility.tracker(), volatility.family(), key=jax.random.key(0))
    for k in range(50):
        session.observe(float(data.times[k]), returns[k])
    session.save(out / "checkpoint.npz")
    volatility_picture(out / "volatility.png", dates, returns, band, score, level, "level")
    print("\nOffline posterior, last 1,000 days (particle MCMC, 2 short chains, the level held static)")
    tree = _offline(data, centres[-1000::50])
    print(az.summary(tree))
    if max(float(v) for v in az.rhat(tree).data_vars.values()) > 1.05:
        print("R-hat above 1.05: these chains are too short to be trusted; raise `draws` and the number of particles")
    tree.to_netcdf(out / "posterior.nc")
    print(f"\nWritten to {out}: beliefs.nc, checkpoint.npz, posterior.nc, volatility.png")
