"""Tests run in float64; single precision is asked for where it is meant."""

import itertools

import jax
import pytest

jax.config.update("jax_enable_x64", True)

_COUNT = itertools.count(1)
_KEPT = 25  # tests whose compiled functions are kept: each holds maps of memory, of which a process may have 65,530


@pytest.fixture(autouse=True)
def _compiled_functions_are_let_go():
    yield
    if next(_COUNT) % _KEPT == 0:
        jax.clear_caches()
