"""Tests run in float64; single precision is asked for where it is meant."""

import jax

jax.config.update("jax_enable_x64", True)


def pytest_runtest_teardown(item, nextitem):
    """What a module compiled is let go after its last test: every function holds maps of memory, of which a process
    may have 65,530, and the compiler aborts beyond."""
    if nextitem is None or nextitem.path != item.path:
        jax.clear_caches()
