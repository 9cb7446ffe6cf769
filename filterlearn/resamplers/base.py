"""What a resampler does."""

import abc

import equinox as eqx
import jax
import jax.numpy as jnp


class AbstractResampler(eqx.Module):
    """Turns weighted points into others whose weighted law has the same expectation."""

    @abc.abstractmethod
    def resample(self, log_weights, tree, *, key):
        """(tree, log_weights) after resampling: `tree` is any pytree whose leaves have the points on their first axis."""


class AbstractIndexResampler(AbstractResampler):
    """A resampler that chooses ancestors: the expected number of copies of point i is N w_i."""

    @abc.abstractmethod
    def ancestors(self, log_weights, *, key):
        """Indices `(N,)`."""

    def resample(self, log_weights, tree, *, key):
        """The chosen points, equally weighted."""
        index = self.ancestors(log_weights, key=key)
        uniform = jnp.full_like(log_weights, -jnp.log(log_weights.shape[0]))
        return jax.tree.map(lambda leaf: leaf[index], tree), uniform


def inverse_cdf(log_weights, points):
    """Ancestors of sorted points in [0, 1)."""
    n = log_weights.shape[0]
    cumulative = jnp.cumsum(jnp.exp(log_weights))
    index = jnp.searchsorted(cumulative / cumulative[-1], points, side="right")
    return jnp.minimum(index, n - 1)


def check_copies(name, filter, belief) -> None:
    """TypeError unless each resampler of a filter takes along what stands beside the points of its belief."""
    for resampler in jax.tree.leaves(filter, is_leaf=_is_resampler):
        if _is_resampler(resampler) and not _copies(resampler, belief):
            given = type(resampler).__name__
            raise TypeError(f"filter: {name} needs a resampler that copies points, got {given}; use Systematic()")


def _is_resampler(node):
    return isinstance(node, AbstractResampler)


def _copies(resampler, belief) -> bool:
    tree = belief.points, belief.points
    try:
        jax.eval_shape(lambda: resampler.resample(belief.log_weights, tree, key=jax.random.key(0)))
    except (AttributeError, TypeError):  # the tree is asked for what an array has
        return False
    return True
