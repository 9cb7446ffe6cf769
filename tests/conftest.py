"""Tests run in float64; single precision is asked for where it is meant."""

import os
import shutil
import tempfile

# What one process compiled is read by the others, and again after a module was let go; commands inherit this too.
CACHE = None if "JAX_COMPILATION_CACHE_DIR" in os.environ else tempfile.mkdtemp(prefix="filterlearn_tests_")
if CACHE:
    os.environ["JAX_COMPILATION_CACHE_DIR"] = CACHE
    os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
    os.environ["JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES"] = "-1"

# Compilation is most of the time that tests take, so the machine code need not be the quickest; commands inherit this.
os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} --xla_backend_optimization_level=0"

import jax  # noqa: E402

jax.config.update("jax_enable_x64", True)


def pytest_runtest_teardown(item, nextitem):
    """What a module compiled is let go after its last test: every function holds maps of memory, of which a process
    may have 65,530, and the compiler aborts beyond."""
    if nextitem is None or nextitem.path != item.path:
        jax.clear_caches()


def pytest_unconfigure(config):
    """The process that made the cache removes it."""
    if CACHE:
        shutil.rmtree(CACHE, ignore_errors=True)
