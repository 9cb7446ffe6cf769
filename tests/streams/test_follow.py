"""A stream that waits is ended by a signal, whichever thread of the process takes it."""

import signal
import subprocess
import sys

import pytest

SCRIPT = """
import os, signal, threading, time
from filterlearn.streams.follow import Stop
stop, (read, write) = Stop(), os.pipe()
def elsewhere():
    time.sleep(0.5)  # the main thread is in its read by now, which this signal does not break
    signal.pthread_kill(threading.get_ident(), signal.{name})
threading.Thread(target=elsewhere, daemon=True).start()
for _ in stop.until(iter(lambda: os.read(read, 1), b"")):
    pass
print(stop.number)
"""


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_a_signal_that_another_thread_takes_is_heard(name):
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT.format(name=name)], capture_output=True, text=True, timeout=60, check=True
    )
    assert int(done.stdout) == signal.Signals[name]
