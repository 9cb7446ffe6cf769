"""The workloads, ours and each peer in turn, every side a process of its own.

    make bench [W=W2] [REPEATS=5]

Every side makes a case ready, compiles it and passes the workload's gate; then all are timed in turn, REPEATS rounds of them.
Prints a table: minima, first calls in brackets, ratios and whether targets hold. Writes one line of JSON for each case
and side to results/bench.jsonl.
"""

import datetime
import importlib
import json
import os
import platform
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np

from benchmarks import table

WORKLOADS = {
    "W1": "kalman",
    "W2": "particle",
    "W3": "ensemble",
    "W4": "continuous",
    "W5": "score",
    "W6": "posterior",
    "W6L": "lorenz_posterior",
    "W7": "learners",
    "S1": "latency",
    "S2": "fleet",
    "S3": "start",
}
PACKAGES = (
    "jax",
    "numpyro",
    "blackjax",
    "dynamax",
    "cuthbert",
    "dynestyx",
    "cd_dynamax",
    "particles",
    "pypomp",
    "filterpy",
    "dapper",
)
SECONDS = 0.3  # of calls, for each side in each round


class Worker:
    """A side's process."""

    def __init__(self, workload, side):
        words = [sys.executable, "-m", "benchmarks.side", workload, side]
        env = os.environ | {"OPENBLAS_NUM_THREADS": "1"}
        self.process = subprocess.Popen(words, stdin=-1, stdout=-1, stderr=subprocess.DEVNULL, text=True, env=env)

    def ask(self, question) -> dict:
        """The answer to one line; a process that dies has none."""
        try:
            print(json.dumps(question), file=self.process.stdin, flush=True)
            return json.loads(self.process.stdout.readline())
        except (BrokenPipeError, json.JSONDecodeError):
            return {"missing": f"the process ended with code {self.process.wait()}"}


def machine() -> dict:
    """The packages that are there, the machine and the date."""
    found = {}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = None
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    return found | {"python": platform.python_version(), "cores": os.cpu_count(), "date": now}


def measured(workers, case, repeats) -> dict:
    """What each side's first call and the rounds of timed ones told."""
    rows = {side: worker.ask({"prepare": case}) for side, worker in workers.items()}
    present = [side for side, row in rows.items() if "missing" not in row]
    rounds = {side: [] for side in present}
    for _ in range(repeats):
        for side in present:
            rounds[side].append(workers[side].ask({"time": SECONDS}))
    for side, own in rounds.items():
        if lost := [each for each in own if "missing" in each]:
            rows[side] = lost[0]
            continue
        calls = [call for each in own for call in each["ms"]]
        told = {name: float(np.median([each["told"][name] for each in own])) for name in own[0]["told"]}
        rows[side] |= {
            "ms": min(calls),
            "median ms": float(np.median(calls)),
            "calls": len(calls),
            "told": rows[side]["told"] | told,
        }
    return rows


def run(label, repeats, file) -> list:
    """The rows of a workload's table, its lines written to the file."""
    work = importlib.import_module(f"benchmarks.{WORKLOADS[label]}")
    workers, lines = {side: Worker(WORKLOADS[label], side) for side in work.SIDES}, []
    for case, own in work.CASES.items():
        rows = measured(workers, case, repeats)
        for side, row in rows.items():
            outputs = work.SIDES[side].__doc__
            line = {"workload": label, "case": case, "side": side, "outputs": outputs} | row | machine()
            print(json.dumps(line), file=file, flush=True)
        lines.append(table.line(label, case, own, rows))
        print(lines[-1], flush=True)
    for worker in workers.values():
        worker.process.stdin.close()
        worker.process.wait()
    return lines


def main(chosen="", repeats="3"):
    """Runs the chosen workloads, by label and parted by commas, or all of them."""
    Path("results").mkdir(exist_ok=True)
    print(table.HEAD)
    with open("results/bench.jsonl", "a") as file:
        for label in chosen.split(",") if chosen else WORKLOADS:
            run(label, int(repeats), file)


if __name__ == "__main__":
    main(*sys.argv[1:])
