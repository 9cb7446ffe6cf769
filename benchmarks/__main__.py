"""The workloads, ours and each peer in turn, every side a process of its own.

    make bench [W=lorenz_posterior] [REPEATS=3]

Writes what each run told as a line of JSON to results/bench.jsonl, and prints the medians and how many times as much as the
best peer.
"""

import json
import os
import platform
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
WORKLOADS = {"lorenz_posterior": ("filterlearn", "dynestyx", "cuthbert")}  # ours first
PACKAGES = ("jax", "numpyro", "blackjax", "dynestyx", "cuthbert")


def told(workload, side):
    """What one run of a side prints last; a side that fails is MISSING."""
    words = [sys.executable, str(HERE / f"{workload}.py"), side]
    done = subprocess.run(words, capture_output=True, text=True, env=os.environ | {"OPENBLAS_NUM_THREADS": "1"})
    if done.returncode:
        return {"side": side, "missing": done.stderr.strip().splitlines()[-1]}
    return json.loads(done.stdout.strip().splitlines()[-1])


def versions():
    """Of the packages that are there."""
    found = {}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = None
    return found | {"python": platform.python_version(), "cores": os.cpu_count()}


def medians(rows, side):
    """The median over runs of each number of a side, and why it is missing."""
    own = [row for row in rows if row["side"] == side]
    if lost := [row["missing"] for row in own if "missing" in row]:
        return {"missing": lost[0]}
    return {name: float(np.median([row[name] for row in own])) for name in own[0] if name != "side"}


def table(workload, rows):
    """Prints the medians of each side."""
    found = {side: medians(rows, side) for side in WORKLOADS[workload]}
    names = [name for name in next(iter(found.values())) if name != "missing"]
    print(f"\n{workload}\n{'':14s}" + "".join(f"{name:>15s}" for name in names))
    for side, own in found.items():
        cells = f"  MISSING: {own['missing']}" if "missing" in own else "".join(f"{own[name]:15.4g}" for name in names)
        print(f"{side:14s}{cells}")
    ours, *peers = (own for own in found.values() if "missing" not in own)
    for name in (name for name in names if name.endswith("/s") and peers):
        print(f"{name}: {ours[name] / max(peer[name] for peer in peers):.3g} times the best peer")


def main(chosen="", repeats="3"):
    """Runs the chosen workload, or all of them."""
    out = Path("results")
    out.mkdir(exist_ok=True)
    for workload in [chosen] if chosen else WORKLOADS:
        rows = []
        with open(out / "bench.jsonl", "a") as file:
            for _ in range(int(repeats)):
                for side in WORKLOADS[workload]:
                    rows.append(told(workload, side))
                    print(json.dumps({"workload": workload} | rows[-1] | versions()), file=file, flush=True)
        table(workload, rows)


if __name__ == "__main__":
    main(*sys.argv[1:])
