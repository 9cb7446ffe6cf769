"""A process with two devices, which jax must be told of before it starts."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def said_on_two(code: str, folder) -> str:
    """What this code prints on two CPU devices, with a folder as its argument; AssertionError where it fails."""
    flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count=2"
    environment, words = os.environ | {"XLA_FLAGS": flags, "PYTHONPATH": str(ROOT)}, [sys.executable, "-c", code, str(folder)]
    done = subprocess.run(words, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout
