"""The main job on real data: S&P 500 volatility, online and offline."""

import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import arviz as az
import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from tqdm import tqdm

import filterlearn as fl
from filterlearn import datasets, rivals, volatility
from filterlearn.diagnostics.plots import volatility_picture

_CORES = 2  # keys run side by side
_LEVELS = (0.05, 0.5, 0.95)
_OFFLINE = fl.ParticleFilter(128, fl.Ordered(fl.Systematic()))
_METHOD = fl.ParticleMCMC(warmup=200, draws=400, chains=2, blocks=20)


def _scored(belief, info):
    """Score, PIT and effective size."""
    return info.log_evidence, info.pit[0], info.ess


@jax.jit
def _bands(belief):
    """Quantiles of the daily volatility and of the moving level, and the probability that the volatility jumped that day."""
    levels, state = jnp.asarray(_LEVELS, jnp.float32), belief.state
    variance = fl.Particles(state.points[:, 1:2], state.log_weights, state.time).quantile(levels)[:, 0]
    level = belief.parameters.quantile(levels)[:, volatility.family().names.index("level")]
    return jnp.sqrt(variance), level, state.weights @ (state.points[:, 3] > 0)


def stream(data):
    """One day after the other: (the session after the last, score, PIT, effective size, bands of each day)."""
    session, rows = fl.Session(volatility.tracker(), volatility.family(), key=jax.random.key(0)), []
    session.compile()
    jax.block_until_ready(_bands(session.belief))
    times, returns, start = np.asarray(data.times), np.asarray(data.values), time.perf_counter()
    for day, value in tqdm(zip(times, returns, strict=True), total=len(times), unit="day", disable=None, leave=False):
        report = session.observe(day, value)
        rows.append((*_scored(session.belief, report.info), *_bands(session.belief)))
    columns = [np.stack(column) for column in zip(*jax.device_get(rows), strict=True)]
    rate = len(times) / (time.perf_counter() - start)
    print(f"  {rate:,.0f} observations per second", flush=True)
    return session, *columns


def rerun(data, key: int):
    """The daily scores under another key, in one scan."""
    run = fl.run(volatility.tracker(), volatility.family(), data, key=jax.random.key(key), save=_scored)
    return np.asarray(run.saved[0])


def _table(scores, pit, ess, returns):
    """Ours beside the rivals; `scores` has a row for each key."""
    others = {"RiskMetrics (.94)": rivals.riskmetrics(returns), **rivals.garch_scores(returns)}
    ours = np.stack(scores)[:, rivals.START :]
    print(f"\nMean one-step log score, days {rivals.START + 1:,} to {len(returns):,}")
    for name, terms in others.items():
        print(f"  {name:32s} {terms.mean():8.4f}")
    each = ", ".join(f"{row.mean():.4f}" for row in ours)
    print(f"  {'filterlearn, mean of keys':32s} {ours.mean():8.4f}   (keys: {each})")
    best = max(others, key=lambda name: others[name].mean())
    gain = ours.mean(0) - others[best]
    print(f"  gain over {best}: {gain.mean():.4f}, Newey-West standard error {rivals.newey_west(gain):.4f}")
    ranks = np.sort(pit[rivals.START :])
    far = np.abs(ranks - (np.arange(len(ranks)) + 0.5) / len(ranks)).max()
    print(f"  PIT in tenths (uniform: {len(ranks) // 10} each): {np.histogram(ranks, 10, (0, 1))[0].tolist()}")
    print(f"  PIT: largest distance from uniform {far:.4f} (95 % of uniform samples: below {1.36 / len(ranks) ** 0.5:.4f})")
    print(f"  effective parameter particles: median {np.median(ess):.0f}, least {ess.min():.1f}")


def _offline(data, belief):
    """The posterior of the same family, its level static, on the last 1,000 days, started from the online belief."""
    last, start = data[-1000:], belief.parameters.sample(200, key=jax.random.key(1))
    series = fl.Dataset(last.times - last.times[0] + 1, last.values)
    return fl.fit(volatility.family(fl.Static()), series, _OFFLINE, _METHOD, start=start, key=jax.random.key(0))


def main(out: Path, keys: int) -> None:
    """Everything, printed and written under `out`."""
    out.mkdir(parents=True, exist_ok=True)
    data, dates = datasets.sp500()
    returns = np.asarray(data.values[:, 0], float)
    print(f"S&P 500, {len(data):,} daily returns: 64 parameter particles x 128 states, {keys} keys, the first one streamed")
    session, score, pit, ess, band, level, jumped = stream(data)
    session.save(out / "checkpoint.npz")
    with ThreadPoolExecutor(_CORES) as pool:
        scores = [score, *pool.map(partial(rerun, data), range(1, keys))]
    _table(scores, pit, ess, returns)
    beliefs = {"log_evidence": score, "pit": pit, "ess": ess, "jump_probability": jumped}
    bands = {"volatility": band, "level": level}
    named = {name: ("time", v) for name, v in beliefs.items()} | {n: (("time", "quantile"), v) for n, v in bands.items()}
    xr.Dataset(named, {"time": dates, "quantile": list(_LEVELS)}).to_netcdf(out / "beliefs.nc")
    volatility_picture(out / "volatility.png", dates, returns, band, jumped, score, level, "level")
    print("\nOffline posterior, last 1,000 days (particle MCMC, 2 short chains, the level held static)", flush=True)
    tree = _offline(data, session.belief)
    print(az.summary(tree))
    if max(float(v) for v in az.rhat(tree).data_vars.values()) > 1.05:
        print("R-hat above 1.05: these chains are too short to be trusted; raise `draws` and the number of particles")
    tree.to_netcdf(out / "posterior.nc")
    print(f"\nWritten to {out}: beliefs.nc, checkpoint.npz, posterior.nc, volatility.png")
