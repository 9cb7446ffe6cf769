"""A recursion over a series, in lanes side by side."""

import math

import jax
import jax.numpy as jnp


def in_lanes(advance, rows, steps, joined, nothing, known, begun):
    """`lax.scan(advance, begun(known, rows[0]), rows)` in depth 3 T^1/2 instead of T, where the steps from one belief to the
    next can be joined: `joined(a, b)` is step a, then step b, and associative; `steps` has one for each row, `nothing` is the
    step that changes nothing, `known` the start as a step.

    The series is cut into T^1/2 lanes of as many rows. The steps of each lane are joined, all lanes at once; then those of
    the lanes before each lane; then every lane goes on from the belief `begun(step, row)` that it starts with. About three
    times the work of one after another, and as quick to compile; joining by halves, in depth log T, takes ten times as long
    to compile (see Blelloch 1990, CMU-CS-90-190).
    """
    length = jax.tree.leaves(rows)[0].shape[0]
    width = math.isqrt(length)
    whole = length - length % width

    def cut(tree):
        return jax.tree.map(lambda leaf: leaf[:whole].reshape(-1, width, *leaf.shape[1:]), tree)

    def folded(lane):
        return jax.lax.scan(lambda carry, step: (joined(carry, step), None), nothing, lane)[0]

    totals, lanes = jax.vmap(folded)(cut(steps)), cut(rows)
    starts = jax.lax.scan(lambda carry, step: (joined(carry, step), carry), known, totals)[1]
    beliefs = jax.vmap(begun)(starts, jax.tree.map(lambda leaf: leaf[:, 0], lanes))
    after, saved = jax.vmap(lambda belief, lane: jax.lax.scan(advance, belief, lane))(beliefs, lanes)
    last, saved = jax.tree.map(lambda leaf: leaf[-1], after), jax.tree.map(lambda s: s.reshape(whole, *s.shape[2:]), saved)
    if whole == length:
        return last, saved
    last, rest = jax.lax.scan(advance, last, jax.tree.map(lambda leaf: leaf[whole:], rows))
    return last, jax.tree.map(lambda a, b: jnp.concatenate([a, b]), saved, rest)
