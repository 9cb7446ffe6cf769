"""The command line end to end: an interrupted run ends with the output of an uninterrupted one."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

MODEL = """
import filterlearn as fl
problem = fl.StateSpaceModel(
    fl.Gaussian([0.0], 1.0), fl.LinearDiscrete([[1.0]], [[0.1]]), fl.LinearGaussianObservation([[1.0]], [[1.0]])
)
algorithm = fl.ParticleFilter(50)
"""


def command(folder, name, *more):
    run = [sys.executable, "-c", "from filterlearn.cli import main; main()", "track", "model.py", "--data", "data.csv"]
    return [
        *run,
        "--time",
        "t",
        "--value",
        "y",
        "--out",
        f"{name}.jsonl",
        "--checkpoint",
        f"{name}.npz",
        "--every",
        "50",
        *more,
    ]


@pytest.mark.parametrize("blow", [signal.SIGINT, signal.SIGKILL])
def test_resumed_output_equals_the_uninterrupted(tmp_path, blow):
    (tmp_path / "model.py").write_text(MODEL)
    values = np.random.default_rng(0).normal(size=4000).cumsum()
    (tmp_path / "data.csv").write_text("t,y\n" + "".join(f"{k},{'' if k % 7 == 3 else v}\n" for k, v in enumerate(values)))
    quiet = {"cwd": tmp_path, "stderr": subprocess.PIPE, "env": os.environ}
    subprocess.run(command(tmp_path, "whole"), check=True, **quiet)
    cut = subprocess.Popen(command(tmp_path, "cut"), **quiet)
    until = time.monotonic() + 120
    while not (tmp_path / "cut.npz").exists() and time.monotonic() < until:
        time.sleep(0.01)
    cut.send_signal(blow)
    cut.communicate()
    assert cut.returncode != 0
    subprocess.run(command(tmp_path, "cut"), check=True, **quiet)
    whole = (tmp_path / "whole.jsonl").read_bytes()
    assert whole.count(b"\n") == 4000
    assert (tmp_path / "cut.jsonl").read_bytes() == whole


def test_errors_are_one_line(tmp_path):
    (tmp_path / "model.py").write_text(MODEL)
    (tmp_path / "data.csv").write_text("t,y\n1,2\n")
    wrong = [word if word != "y" else "nothing" for word in command(tmp_path, "x")]
    done = subprocess.run(wrong, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode != 0
    assert done.stderr.strip().splitlines()[-1].startswith("filterlearn: nothing: no such column")
