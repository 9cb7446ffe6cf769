"""Tests run in float64; single precision is asked for where it is meant."""

import jax

jax.config.update("jax_enable_x64", True)
