"""The command line as a user runs it."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
MAIN = "from filterlearn.cli import main; main()"


def environment(folder):
    """With a compile cache of the tests' own."""
    return os.environ | {"XDG_CACHE_HOME": str(folder), "PYTHONPATH": str(ROOT)}


def started(folder, cache, *words, code=MAIN, **given):
    pipe = subprocess.PIPE
    command = [sys.executable, "-c", code, *map(str, words)]
    given = {"stdout": pipe, "stderr": pipe, "text": True, **given}
    return subprocess.Popen(command, cwd=folder, env=environment(cache), **given)


def finished(folder, cache, *words, code=MAIN, input=None):
    """(exit status, standard output, standard error)."""
    process = started(folder, cache, *words, code=code, stdin=subprocess.PIPE)
    out, err = process.communicate(input, timeout=300)
    return process.returncode, out, err
