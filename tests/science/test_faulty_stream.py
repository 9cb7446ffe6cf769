"""The soak in its short form: 20,000 rows with faults, three kills, and a small fleet."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CODE = """
import json
from examples import faulty_stream as soak
stream = soak.one_stream(20_000, 3)
print(json.dumps([stream, soak.one_fleet(200, 50)]))
"""


@pytest.mark.science
def test_nothing_is_lost_or_counted_twice():
    """Each kind as often as it was sent; beliefs up to rounding; the memory within 2 MB of what it was."""
    done = subprocess.run([sys.executable, "-c", CODE], cwd=ROOT, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr[-3000:]
    (sent, tally, error, memory, kills), (refused, infinite, apart, rate, held) = json.loads(done.stdout.splitlines()[-1])
    print(tally, error, memory, refused, apart, rate, held)
    assert tally == sent
    assert min(sent.values()) > 50
    assert kills == 3
    assert error < 1e-9
    assert memory[-1] - memory[0] < 2
    assert refused == infinite > 0
    assert apart < 1e-9
    assert held[-1] - held[0] < 2
