"""S3: from a cold interpreter to the first belief, and what importing costs."""

import os
import subprocess
import sys
import tempfile
import time

from benchmarks.case import Case

CASES = {
    "import": Case({"kind": "import"}, None, {"above jax s": 1.0}, by="s"),
    "first belief, no compilation cache": Case({"kind": "cold"}, None, {"s": 5.0}, by="s"),
    "first belief, warm cache": Case({"kind": "warm"}, None, {"s": 5.0}, by="s"),
}
BELIEF = """
import jax, numpy as np
import filterlearn as fl
seen = fl.LinearGaussianObservation([[1.0]], [[0.1]])
model = fl.StateSpaceModel(fl.Gaussian([0.0], 1.0), fl.LinearSDE([[-1.0]], [[0.5]]), seen)
session = fl.Session(fl.Kalman(), model, key=jax.random.key(0))
print(session.observe(0.0, [1.0]).mean)
"""
IMPORT = "import filterlearn as fl; fl.Kalman, fl.Session"


def gate(told, kind):
    """It came to its end."""


def took(program, **more):
    """Seconds of a new interpreter."""
    begin = time.perf_counter()
    subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, env=os.environ | more)
    return time.perf_counter() - begin


def filterlearn(kind):
    """An import; a belief after one datum of a linear SDE."""
    folder = tempfile.mkdtemp()
    cache = {"JAX_COMPILATION_CACHE_DIR": folder, "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0"} if kind == "warm" else {}

    def run():
        if kind == "import":
            jax, ours = took("import jax.numpy"), took(IMPORT)
            return {"s": ours, "above jax s": ours - jax}
        return {"s": took(BELIEF, **cache)}

    return run


SIDES = {"filterlearn": filterlearn}
