"""One side of a workload, in a process of its own: answers lines of JSON on standard input with lines on standard output.

    python -m benchmarks.side kalman dynamax

`{"prepare": case}` makes a run and makes the first call: its seconds, compilation counted, and its numbers, which the
workload's gate has passed. `{"time": seconds}` calls it again for about so long: the milliseconds of each call.
"""

import importlib
import json
import os
import resource
import sys
import time


def numbers(told) -> dict:
    """The scalars that a run told, by name."""
    return {name: float(value) for name, value in told.items() if getattr(value, "ndim", 0) == 0}


def prepare(work, side, name) -> tuple:
    """(the run, what its first call told)."""
    case, begin = work.CASES[name], time.perf_counter()
    run = work.SIDES[side](**case.given)
    told = numbers(run())
    first = time.perf_counter() - begin
    work.gate(told, **case.given)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return run, {"first s": told.pop("first s", first), "peak MB": peak, "told": told}


def timed(run, seconds) -> dict:
    """Calls for about so many seconds, at least one."""
    calls, told, until = [], {}, time.perf_counter() + seconds
    while not calls or time.perf_counter() < until:
        begin = time.perf_counter()
        told = numbers(run())
        calls.append(1e3 * (time.perf_counter() - begin))
    return {"ms": calls, "told": told}


def main(workload, side):
    """Serves until standard input ends."""
    answers, sys.stdout = sys.stdout, sys.stderr
    work, run = importlib.import_module(f"benchmarks.{workload}"), None
    if getattr(work, "WIDE", False):
        import jax

        jax.config.update("jax_enable_x64", True)
    for line in sys.stdin:
        ((verb, given),) = json.loads(line).items()
        try:
            if verb == "prepare":
                run, answer = prepare(work, side, given)
            else:
                answer = timed(run, given)
        except Exception as error:  # a peer may fail in any way, and the table says how
            answer = {"missing": f"{type(error).__name__}: {error}".splitlines()[0][:200]}
        print(json.dumps(answer), file=answers, flush=True)
    os._exit(0)  # some peers leave threads behind


if __name__ == "__main__":
    main(*sys.argv[1:])
