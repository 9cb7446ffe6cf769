"""The exact discretisation of a linear SDE over a gap."""

import jax
import jax.numpy as jnp
from equinox.internal import unvmap_any
from jaxtyping import Array, Float

from filterlearn.numerics.small import product, symmetric

_TERMS = 18  # the scaled gap is at most 1/2, so that the first term left out is below 1/19!
_DOUBLINGS = 30


def _series(a, b, q):
    """Coefficients `(terms, .)` of the Taylor series in the gap of exp(A h), of b's integral / h and of Q's / h."""

    def next_term(term, k):
        power, drive, spread = term
        left = product(a, spread)
        new = product(a, power) / k, product(a, drive[:, None])[:, 0] / (k + 1), (left + left.T) / (k + 1)
        return new, new

    first = (jnp.eye(a.shape[0], dtype=a.dtype), b, q)
    later = jax.lax.scan(next_term, first, jnp.arange(1, _TERMS, dtype=a.dtype))[1]  # unrolled, it compiles ten times as long
    return jax.tree.map(lambda one, rest: jnp.concatenate([one[None], rest]), first, later)


def _doubled(law):
    """The law over twice the gap."""
    matrix, offset, covariance = law
    moved = product(product(matrix, covariance), matrix.T)
    return product(matrix, matrix), offset + product(matrix, offset[:, None])[:, 0], symmetric(covariance + moved)


def linear_laws(a: Float[Array, "n n"], b: Float[Array, "n"], q: Float[Array, "n n"], h: Float[Array, "k"]):
    """exp(A h), the integral of exp(A s) b ds and of exp(A s) Q exp(A' s) ds over s from 0 to h, for each gap h.

    Taylor series over h / 2^k, then k doublings, Q(2 h) = Q(h) + exp(A h) Q(h) exp(A' h) (Higham 2008, chapter 10,
    doi:10.1137/1.9780898717778). Nothing grows that the law itself does not, as exp(-A h) does in Van Loan's block
    exponential: stiff systems and long gaps keep every digit. The series are shared by all gaps. Equal times give (I, 0, 0)
    exactly; not finite when |A| h exceeds 5e8.
    """
    norm = jax.lax.stop_gradient(jnp.max(jnp.sum(jnp.abs(a), axis=0)))
    rate = jnp.where(norm > 0, norm, 1.0)
    ratio = 2 * rate * jax.lax.stop_gradient(h)
    times = jnp.where(ratio > 1, jnp.ceil(jnp.log2(jnp.where(ratio > 1, ratio, 1.0))), 0.0)
    small = jnp.where(times > _DOUBLINGS, jnp.nan, h * jnp.exp2(-times))
    powers = jax.lax.scan(lambda power, _: (power * small * rate, power), jnp.ones_like(h), length=_TERMS)[1].T
    matrix, offset, covariance = (jnp.tensordot(powers, c, 1, precision="highest") for c in _series(a / rate, b, q))
    law = (matrix, small[:, None] * offset, small[:, None, None] * covariance)

    def double(law, k):
        more = times > k  # asked of a whole batch at once: `vmap` would else turn `cond` into doing everything

        def doubled(old):
            new = jax.vmap(_doubled)(old)
            return tuple(jnp.where(jnp.expand_dims(more, range(1, o.ndim)), n, o) for n, o in zip(new, old, strict=True))

        return jax.lax.cond(unvmap_any(more), jax.checkpoint(doubled), lambda old: old, law), None

    def all_doubled(law):
        return jax.lax.scan(double, law, jnp.arange(_DOUBLINGS, dtype=h.dtype))[0]

    return jax.lax.cond(unvmap_any(times > 0), all_doubled, lambda law: law, law)
