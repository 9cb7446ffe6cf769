"""What a stream compiles: its start, its step, many steps at once, and what makes a belief larger."""

from functools import lru_cache

import equinox as eqx
import jax
import jax.numpy as jnp

from filterlearn import protocol
from filterlearn.beliefs.base import present
from filterlearn.beliefs.joint import AbstractJointBelief
from filterlearn.data import Datum
from filterlearn.numerics.leaves import joined
from filterlearn.streams.packed import packed
from filterlearn.streams.parameters import named_parameters

REFUSED = protocol.NOT_FINITE | protocol.COVARIANCE_LOST


@eqx.filter_jit
def start(algorithm, problem, key):
    """The belief before any datum."""
    return protocol.strong(algorithm.init(problem, key=jax.random.fold_in(key, 0)))


@eqx.filter_jit
def enlarged(algorithm, problem, belief, flags, key):
    """The belief of the algorithm before, made the larger one's."""
    return protocol.strong(algorithm.enlarged(problem, belief, flags, key=key))


def _finite(belief):
    """Whether the moments are."""
    moments, inside = [belief.mean, belief.covariance], present(belief)
    moments += [inside.parameters.mean] if isinstance(inside, AbstractJointBelief) else []
    return jnp.all(jnp.stack([jnp.isfinite(each).all() for each in moments]))


def advanced(algorithm, problem, belief, k, row, inputs, key):
    """(belief, what the report tells: Info with its flags, moments, parameters) for the row `(time, *value)`: the belief
    before, bit for bit, where the new one is lost or the datum is late."""
    each = jax.random.fold_in(key, k)
    after, info = protocol.step(algorithm, problem, belief, Datum(row[0], row[1:], inputs), key=each)
    flags = info.flags | protocol.NOT_FINITE * ~_finite(after)
    good = (flags & (REFUSED | protocol.LATE)) == 0
    kept = jax.tree.map(lambda new, old: jnp.where(good, jnp.asarray(new, old.dtype), old), after, belief)
    named = {}
    if isinstance(inside := present(kept), AbstractJointBelief):
        named = named_parameters(problem, inside, jax.random.fold_in(each, 3))
    return kept, packed((eqx.tree_at(lambda i: i.flags, info, flags), (kept.mean, kept.covariance, named)))


@lru_cache(maxsize=64)
def compiled(rest):
    """The step of every algorithm and problem of one form: plain `jit`, whose call costs a third of `filter_jit`'s. `rest`
    is their form and the kind of key; the key comes as its bare numbers, which are quicker to pass."""
    form, kind = rest

    def observe(arrays, belief, k, row, inputs, data):
        return advanced(*joined(arrays, form), belief, k, row, inputs, jax.random.wrap_key_data(data, impl=kind))

    return jax.jit(observe)


@lru_cache(maxsize=64)
def swept(rest):
    """The same for rows stacked on their first axis, and inputs likewise or a function of time, in one scan."""
    form, kind = rest

    def observe(arrays, belief, k, rows, function, inputs, data):
        algorithm, problem = joined(arrays, form)
        key = jax.random.wrap_key_data(data, impl=kind)

        def one(carry, each):
            i, row, given = each
            return advanced(algorithm, problem, carry, i, row, function if given is None else given, key)

        return jax.lax.scan(one, belief, (k + jnp.arange(len(rows)), rows, inputs))

    return jax.jit(observe)
