"""A series step by step, for filters that draw."""

import equinox as eqx
import jax
import jax.numpy as jnp

import filterlearn as fl


def streamed(algorithm, model, data, key):
    """The total log evidence by steps with the keys of `run`; a missing datum after the last, and no time, change nothing."""
    belief, total = algorithm.init(model, key=jax.random.fold_in(key, 0)), 0.0
    step = eqx.filter_jit(lambda belief, datum, key: fl.step(algorithm, model, belief, datum, key=key))
    for k in range(len(data)):
        belief, info = step(belief, data.datum(k), jax.random.fold_in(key, k + 1))
        total += float(info.log_evidence)
    after, info = step(belief, fl.Datum(data.times[-1], jnp.full_like(data.values[-1], jnp.nan)), key)
    assert info.log_evidence == 0
    assert all((a == b).all() for a, b in zip(jax.tree.leaves(belief), jax.tree.leaves(after), strict=True))
    return total
