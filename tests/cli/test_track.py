"""The command line end to end: however a run is cut short, it ends with the output of an uninterrupted one."""

import hashlib
import json
import os
import signal
import subprocess
import time

import numpy as np
import pytest

from filterlearn.streams import checkpoint
from tests.cli.command import finished, started

MODEL = """
import filterlearn as fl
problem = fl.StateSpaceModel(
    fl.Gaussian([0.0], 1.0),
    fl.LinearDiscrete([[1.0]], [[0.1]], lambda t, u: u),
    fl.LinearGaussianObservation([[1.0]], [[1.0]]),
)
algorithm = fl.ParticleFilter(50)
"""
ROWS = 3000


def words(name, *more, data="data.csv", every=50):
    columns = ("--time", "t", "--value", "y", "--inputs", "u")
    files = ("--out", f"{name}.jsonl", "--checkpoint", f"{name}.npz", "--every", every)
    return ("track", "model.py", "--data", data, *columns, *files, *more)


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def folder(tmp_path_factory, cache):
    """A model, one table in two formats, and the output of an uninterrupted run."""
    here, rng = tmp_path_factory.mktemp("track"), np.random.default_rng(0)
    (here / "model.py").write_text(MODEL)
    values, inputs = rng.normal(size=ROWS).cumsum(), rng.normal(size=ROWS)
    rows = [{"t": k, "y": None if k % 7 == 3 else v, "u": u} for k, (v, u) in enumerate(zip(values, inputs, strict=True))]
    (here / "data.csv").write_text(
        "t,y,u\n" + "".join(f"{r['t']},{'' if r['y'] is None else r['y']},{r['u']}\n" for r in rows)
    )
    (here / "data.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    status, out, err = finished(here, cache, *words("whole"))
    assert (status, out, err) == (0, "", "")
    return here


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def whole(folder, name):
    assert (folder / "whole.jsonl").read_bytes().count(b"\n") == ROWS
    return digest(folder / f"{name}.jsonl") == digest(folder / "whole.jsonl")


def wait(test, process=None):
    """Until something is so, or the process has ended."""
    until = time.monotonic() + 120
    while not test() and (process is None or process.poll() is None):
        assert time.monotonic() < until
        time.sleep(0.002)


def lines(path):
    return path.read_bytes().count(b"\n") if path.exists() else 0


@pytest.mark.parametrize("blow", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_after_the_row_in_hand_and_the_run_resumes(folder, cache, blow):
    name = blow.name
    cut = started(folder, cache, *words(name, every=1))
    wait(lambda: (folder / f"{name}.npz").exists(), cut)
    cut.send_signal(blow)
    cut.communicate(timeout=60)
    assert cut.returncode == 128 + blow
    kept = checkpoint.header(folder / f"{name}.npz")
    assert kept["count"] == lines(folder / f"{name}.jsonl") < ROWS
    assert finished(folder, cache, *words(name))[0] == 0
    assert whole(folder, name)


KILLER = """
import os, pathlib, signal, sys, time
import filterlearn as fl
from filterlearn.cli import main
fl.Session, fl.Store, fl.ParticleFilter, fl.Gaussian, fl.LinearDiscrete  # imported before the forks; no thread has begun
out, moments = pathlib.Path(sys.argv.pop(1)), [int(k) for k in sys.argv.pop(1).split(",")]
for moment in moments:
    child = os.fork()
    if not child:
        main()
        os._exit(0)
    while (out.read_bytes().count(b"\\n") if out.exists() else 0) < moment:
        time.sleep(0.001)
    os.kill(child, signal.SIGKILL)
    print(os.waitpid(child, 0)[1], flush=True)
"""


def test_killed_again_and_again_at_random(folder, cache):
    """Ten kills (or `FILTERLEARN_KILLS`), each after some drawn number of further lines, wherever that finds the run."""
    kills = int(os.environ.get("FILTERLEARN_KILLS", "10"))
    moments = np.sort(np.random.default_rng(1).integers(51, ROWS - 100, kills))
    status, out, err = finished(folder, cache, "killed.jsonl", ",".join(map(str, moments)), *words("killed"), code=KILLER)
    assert (status, err) == (0, "")
    assert out.split() == [str(int(signal.SIGKILL))] * kills
    assert finished(folder, cache, *words("killed"))[0] == 0
    assert whole(folder, "killed")


DIES = """
import itertools, os, signal
from filterlearn.cli import main
from filterlearn.streams import checkpoint
calls = itertools.count(1)
checkpoint.before_rename = lambda path: next(calls) == 3 and os.kill(os.getpid(), signal.SIGKILL)
main()
"""


def test_killed_between_write_and_rename(folder, cache):
    """The third checkpoint is on the disk but not in its place: the second holds, and the output is cut back to it."""
    assert finished(folder, cache, *words("torn"), code=DIES)[0] == -signal.SIGKILL
    assert (folder / ".torn.npz.partial").exists()
    assert checkpoint.header(folder / "torn.npz")["count"] == 100
    assert lines(folder / "torn.jsonl") == 150
    assert finished(folder, cache, *words("torn"))[0] == 0
    assert whole(folder, "torn")
    assert not (folder / ".torn.npz.partial").exists()


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_standard_input_and_output_and_both_formats_say_the_same(folder, cache, kind):
    text = (folder / f"data.{kind}").read_text()
    columns = ("--time", "t", "--value", "y", "--inputs", "u")
    status, out, err = finished(folder, cache, "track", "model.py", "--data", "-", *columns, input=text)
    assert (status, err) == (0, "")
    assert hashlib.sha256(out.encode()).hexdigest() == digest(folder / "whole.jsonl")


def test_a_signal_ends_a_stream_that_waits(folder, cache):
    """120 rows come, then none: nothing is lost, and the rest is read when it is there."""
    cut = started(folder, cache, *words("waits", data="-", every=120), stdin=subprocess.PIPE)
    with open(folder / "data.csv") as file:
        cut.stdin.writelines(line for _, line in zip(range(121), file, strict=False))
    cut.stdin.flush()
    wait(lambda: (folder / "waits.npz").exists(), cut)
    cut.send_signal(signal.SIGINT)
    assert cut.wait(timeout=20) == 128 + signal.SIGINT
    cut.communicate()
    assert lines(folder / "waits.jsonl") == 120
    assert finished(folder, cache, *words("waits", data="-"), input=(folder / "data.csv").read_text())[0] == 0
    assert whole(folder, "waits")


def test_a_reader_that_leaves_is_no_error(folder, cache):
    cut = started(folder, cache, "track", "model.py", "--data", "data.csv", "--time", "t", "--value", "y", "--inputs", "u")
    assert cut.stdout.readline().startswith('{"time": 0.0')
    cut.stdout.close()
    assert cut.stderr.read() == ""
    assert cut.wait(timeout=60) == 1


CHANGED = {
    "other data": (
        "other.csv",
        lambda f: (f / "data.csv").read_text().replace("\n2999,", "\n2999.5,"),
        "row 3000 is at 2999.5",
    ),
    "less data": ("less.csv", lambda f: "t,y,u\n0,1,0\n1,2,0\n", "2 rows, of which the checkpoint has seen 3000"),
}


@pytest.mark.parametrize("name", CHANGED)
def test_a_checkpoint_of_other_data_is_refused(folder, cache, name):
    data, text, said = CHANGED[name]
    (folder / data).write_text(text(folder))
    before = digest(folder / "whole.jsonl")
    status, _, err = finished(folder, cache, *words("whole", data=data))
    assert (status, err.count("\n")) == (1, 1)
    assert err.startswith("filterlearn: data: ")
    assert said in err
    assert digest(folder / "whole.jsonl") == before


def test_an_output_that_was_cut_is_refused(folder, cache):
    (folder / "cut.npz").write_bytes((folder / "whole.npz").read_bytes())
    (folder / "cut.jsonl").write_text("{}\n")
    status, _, err = finished(folder, cache, *words("cut"))
    assert (status, err.count("\n")) == (1, 1)
    assert err.startswith("filterlearn: out: cut.jsonl has 3 bytes, the checkpoint knows of ")


def test_datetimes_are_counted_in_the_unit(folder, cache):
    """Hours: the same numbers as the times 0, 1, 2, and the datetimes in the output."""
    (folder / "hours.csv").write_text("t,y,u\n" + "".join(f"2020-01-01T0{k}:00+00:00,{k},0.5\n" for k in range(3)))
    (folder / "numbers.csv").write_text("t,y,u\n" + "".join(f"{k},{k},0.5\n" for k in range(3)))
    rows = []
    for name, more in (("hours", ("--unit", "h")), ("numbers", ())):
        assert finished(folder, cache, *words(name, *more, data=f"{name}.csv"))[0] == 0
        rows.append([json.loads(line) for line in (folder / f"{name}.jsonl").read_text().splitlines()])
    assert [row.pop("time") for row in rows[0]] == ["2020-01-01", "2020-01-01T01:00", "2020-01-01T02:00"]
    assert [row.pop("time") for row in rows[1]] == [0.0, 1.0, 2.0]
    assert rows[0] == rows[1]


STEADY = MODEL.replace("fl.ParticleFilter(50)", "fl.Kalman()")


def test_a_late_row_takes_its_place(folder, cache):
    """With --replay, which a checkpoint keeps: at the end the belief is that of the rows in order."""
    (folder / "steady.py").write_text(STEADY)
    order, last = {"late": [0, 1, 3, 2, 4], "sorted": range(5)}, []
    for name, rows in order.items():
        (folder / f"{name}.csv").write_text("t,y,u\n" + "".join(f"{k},{k % 3},0.5\n" for k in rows))
        given = [str(word).replace("model.py", "steady.py") for word in words(name, "--replay", 2, data=f"{name}.csv")]
        assert finished(folder, cache, *given)[0] == 0
        lines = [json.loads(line) for line in (folder / f"{name}.jsonl").read_text().splitlines()]
        assert [line["flags"] for line in lines] == [[]] * 5
        last.append([*lines[-1]["mean"], *lines[-1]["variance"], sum(line["log_evidence"] for line in lines)])
    np.testing.assert_allclose(*last, rtol=1e-12)
    status, _, err = finished(folder, cache, *("3" if word == "2" else word for word in given))
    assert (status, err) == (1, "filterlearn: replay: 3 was given, the checkpoint has 2; delete it to start anew\n")


BAD = {
    "no such column": ("model.py", "t,x,u\n1,2,0\n", (), "y: no such column; the file has ['t', 'x', 'u']"),
    "not a number": ("model.py", "t,y,u\n1,2,0\n2,abc,0\n", (), "value: 'abc' is not a number, on line 3"),
    "infinite": ("model.py", "t,y,u\n1,2,0\n2,inf,0\n", (), "value: finite numbers or NaN are needed, got [inf], in row 2"),
    "zones": (
        "model.py",
        "t,y,u\n2020-01-01,2,0\n2020-01-02T00:00Z,1,0\n",
        (),
        "both have a time zone, or neither, in row 2",
    ),
    "noon": ("model.py", "t,y,u\nnoon,2,0\n", (), "'noon' is neither a number nor an ISO datetime"),
    "a word in place of a time": ("model.py", "t,y,u\n1,2,0\nnoon,2,0\n", (), "time: a number is needed, got 'noon'"),
    "no data": ("model.py", "", (), "data: no rows"),
    "no file": ("model.py", None, (), "data: no file at bad.csv"),
    "every": ("model.py", "t,y,u\n1,2,0\n", ("--every", "0"), "every: a whole number of at least 1 is needed, got 0"),
    "unit": ("model.py", "t,y,u\n1,2,0\n", ("--unit", "year"), "year"),
    "an unknown option": ("model.py", "t,y,u\n1,2,0\n", ("--speed", "9"), "--speed"),
    "no model": ("absent.py", "t,y,u\n1,2,0\n", (), "model: no Python file at absent.py"),
    "no algorithm": ("half.py", "t,y,u\n1,2,0\n", (), "model: half.py must define `algorithm`"),
    "broken syntax": ("syntax.py", "t,y,u\n1,2,0\n", (), "model: syntax.py, line 2: '(' was never closed"),
    "an error in the model": ("wrong.py", "t,y,u\n1,2,0\n", (), "model: wrong.py, line 2: NameError: name 'nothing' is not"),
    "a wrong argument": ("size.py", "t,y,u\n1,2,0\n", (), "model: size.py, line 8: ValueError: size: a whole number"),
    "an error in the step": ("late.py", "t,y,u\n1,2,0\n", (), "model: late.py, line 5: "),
}


@pytest.fixture(scope="module")
def models(folder):
    (folder / "half.py").write_text("problem = 1\n")
    (folder / "syntax.py").write_text("\nproblem = (1\n")
    (folder / "wrong.py").write_text("\nproblem = nothing\n")
    (folder / "size.py").write_text(MODEL.replace("(50)", "(1)"))
    (folder / "late.py").write_text(MODEL.replace("lambda t, u: u)", "lambda t, u: u.nothing)"))
    return folder


@pytest.mark.parametrize("name", BAD)
def test_errors_are_one_line(models, cache, name):
    model, text, more, said = BAD[name]
    (models / "bad.csv").unlink(missing_ok=True)
    if text is not None:
        (models / "bad.csv").write_text(text)
    columns = ("--time", "t", "--value", "y", "--inputs", "u")
    status, _, err = finished(models, cache, "track", model, "--data", "bad.csv", *columns, *more)
    assert status == 1
    assert err.count("\n") == 1
    assert err.startswith("filterlearn: ")
    assert said in err


def test_a_damaged_checkpoint_is_refused_by_path(folder, cache):
    (folder / "damaged.npz").write_bytes((folder / "whole.npz").read_bytes()[:-50])
    status, _, err = finished(folder, cache, *words("damaged"))
    assert status == 1
    assert err.count("\n") == 1
    assert err.startswith("filterlearn: path: damaged.npz is not a checkpoint of filterlearn, or is damaged")


@pytest.mark.parametrize(
    ("command", "said"),
    [("track", "rows between checkpoints"), ("fit", "reads both"), ("report", "HTML file; beside")],
)
def test_help_tells_of_every_argument(folder, cache, command, said):
    status, out, _ = finished(folder, cache, command, "--help")
    assert status == 0
    assert said in " ".join(out.replace("│", " ").split())
