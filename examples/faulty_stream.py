"""A million observations as live data bring them, and a process that is killed again and again.

A level and two moving coefficients (`long_stream.py`), written as JSON Lines of which 1 % are malformed or out of bounds, 1 %
late, 1 % duplicates, and .1 % come after a long silence. A process follows the file into a session with a checkpoint every
1,000 arrivals; SIGKILL ends it at random moments, and another goes on. In the end: sent = accepted + late + duplicate +
malformed + refused, each as many as were put there; the belief equals that of `fl.run` over the clean rows; the memory is
as it was. Then a fleet of 5,000 series of 1,000 data, a thousandth of them infinite, some series against runs of their own.

    python examples/faulty_stream.py [observations] [kills] [series] [steps]
"""

import asyncio
import collections
import itertools
import json
import os
import signal
import sys
import tempfile
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

import filterlearn as fl

sys.path.insert(0, str(Path(__file__).parent))
from long_stream import family, observations, resident

BOUND, LONGEST, EVERY = 1e3, 20.0, 1000
COLUMNS = fl.Columns("t", "y", inputs=["u", "v"], id="id")


def written(path, count, seed=1):
    """Writes the file; (the clean rows, how many of each kind were sent)."""
    rng, now, clean, sent = np.random.default_rng(seed), 0.0, [], collections.Counter()
    with open(path, "w") as file:
        last = None
        for k, (gap, value, u, _) in enumerate(itertools.islice(observations(rng), count)):
            now += gap + (100.0 if rng.uniform() < 1e-3 else 0.0)
            row = {"t": now, "y": value, "u": u[0], "v": u[1], "id": k}
            fate = rng.uniform()
            kind = "accepted"
            if fate < 0.005:
                kind, text = "malformed", json.dumps(row)[:-9]
            elif fate < 0.01:
                kind, text = "refused: value", json.dumps(row | {"y": 1e6})
            elif fate < 0.02 and last is not None:
                kind, text = "duplicate", json.dumps(last)
            elif fate < 0.03 and last is not None:
                kind, text = "late", json.dumps(row | {"t": last["t"] - 0.5})
            else:
                text, last = json.dumps(row), row
                clean.append((now, value, *u))
            sent[kind] += 1
            file.write(text + "\n")
    return np.array(clean), dict(sent)


def learner():
    return fl.Joint(fl.ExtendedKalman())


def followed(folder):
    """One life of the process: from the last checkpoint to the end of the file; its memory early and late in a file."""
    jax.config.update("jax_enable_x64", True)
    problem, checkpoint = family(jnp.float64), folder / "a.npz"
    if checkpoint.exists():
        session = fl.Session.load(checkpoint, learner(), problem)
    else:
        given = {"remember": 1000, "bounds": (-BOUND, BOUND), "longest": LONGEST}
        session = fl.Session(learner(), problem, key=jax.random.key(0), **given)
    memory, count = [], itertools.count()

    def watch(arrival, session):
        if next(count) == 5 * EVERY:
            memory.append(resident())

    files = {"checkpoint": checkpoint, "quarantine": folder / "side.jsonl"}
    asyncio.run(fl.follow(session, fl.FileSource(folder / "in.jsonl", COLUMNS), every=EVERY, watch=watch, **files))
    (folder / "memory.json").write_text(json.dumps([*memory, resident()]))


def killed(folder, kills, seed=2):
    """Lives until the file is at its end, of which `kills` are cut off by SIGKILL; how many were."""
    rng, done = np.random.default_rng(seed), 0
    while True:
        child = os.fork()  # nothing is compiled yet in this process, and no thread has begun
        if not child:
            followed(folder)
            os._exit(0)
        if done == kills:
            return done, os.waitpid(child, 0)[1]
        before, moment = _stamp(folder), rng.uniform(0.0, 3.0)
        while _stamp(folder) == before and os.waitpid(child, os.WNOHANG)[0] == 0:
            time.sleep(0.01)
        time.sleep(moment)
        os.kill(child, signal.SIGKILL)
        done += os.waitpid(child, 0)[1] == signal.SIGKILL


def _stamp(folder):
    return (folder / "a.npz").stat().st_mtime_ns if (folder / "a.npz").exists() else None


def oracle(clean):
    """The last belief of one run over the clean rows."""
    data = fl.Dataset(clean[:, 0], clean[:, 1:2], clean[:, 2:])
    return fl.run(learner(), family(jnp.float64), data, save=lambda belief, info: info.log_evidence).last.stacked


def one_stream(count, kills):
    """(sent, tally, largest error of the belief in its standard deviations, megabytes early and late, kills)."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        clean, sent = written(folder / "in.jsonl", count)
        done, status = killed(folder, kills)
        assert status == 0
        jax.config.update("jax_enable_x64", True)
        session = fl.Session.load(folder / "a.npz", learner(), family(jnp.float64))
        aside = sum(1 for _ in open(folder / "side.jsonl"))  # noqa: SIM115
        belief, exact = session.belief.stacked, oracle(clean)
        sd = np.sqrt(np.diagonal(exact.covariance))
        error = max(np.max(abs(belief.mean - exact.mean) / sd), np.max(abs(belief.covariance - exact.covariance) / sd**2))
        tally = session.meta["tally"]
        assert aside == tally.get("malformed", 0) + tally.get("refused: value", 0)
        return sent, tally, float(error), json.loads((folder / "memory.json").read_text()), done


def one_fleet(series, steps, seed=3):
    """(data refused, those that were infinite, largest error of a series against its own run, data a second, megabytes)."""
    rng, names = np.random.default_rng(seed), [str(k) for k in range(series)]
    fleet = fl.Fleet(learner(), family(jnp.float64), series, key=jax.random.key(1))
    fleet.add(names)
    times = np.cumsum(rng.integers(4, 13, (steps, series)) / 8, axis=0)
    values, inputs = rng.normal(size=(steps, series, 1)), rng.normal(size=(steps, series, 2))
    values[rng.uniform(size=values.shape) < 1e-3] = np.inf
    refused, memory, start = 0, [], time.perf_counter()
    for k in range(steps):
        refused += len(fleet.observe(names, times[k], values[k], inputs[k]).refused)
        memory += [resident()] if k in (steps // 10, steps - 1) else []
    rate, errors = series * steps / (time.perf_counter() - start), []
    for k in range(0, series, max(1, series // 5)):
        own = np.isfinite(values[:, k, 0])
        exact = oracle(np.column_stack([times[own, k], values[own, k], inputs[own, k]]))
        errors.append(np.max(abs(fleet.belief(names[k]).stacked.mean - exact.mean)))
    return refused, int(np.isinf(values).sum()), float(np.max(errors)), rate, memory


def main(count="1000000", kills="20", series="5000", steps="1000"):
    """Prints what became of both."""
    sent, tally, error, memory, done = one_stream(int(count), int(kills))
    print(f"sent  {dict(sorted(sent.items()))}\ntally {dict(sorted(tally.items()))}")
    print(f"kills {done}, error {error:.1e} sds, MB {memory}", flush=True)
    refused, infinite, error, rate, memory = one_fleet(int(series), int(steps))
    print(f"fleet: refused {refused} of {infinite} infinite, error {error:.1e}, {rate:.0f} data a second, MB {memory}")


if __name__ == "__main__":
    main(*sys.argv[1:])
