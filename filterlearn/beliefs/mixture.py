"""A mixture of Gaussian beliefs."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from filterlearn.beliefs.base import AbstractBelief, AbstractWeighted
from filterlearn.beliefs.gaussian import AbstractGaussianBelief
from filterlearn.beliefs.particles import drawn_by_weight, weighted_covariance, weighted_mean

_HALVINGS = 60
_NOTHING = -1e3  # a log-weight below it tells nothing of its group


def mixed(members: AbstractBelief, log_weights: Float[Array, "K"]):
    """Mean and covariance of K beliefs stacked on their first axis. What a member of weight zero says does not count."""
    weights = jnp.exp(log_weights)
    means, covariances = jax.vmap(lambda b: (b.mean, b.covariance))(members)
    within = weighted_mean(covariances.reshape(weights.shape[0], -1), weights).reshape(covariances.shape[1:])
    return weighted_mean(means, weights), within + weighted_covariance(means, weights)


def merged(members: AbstractGaussianBelief, log_weights: Float[Array, "K"], within: Bool[Array, "g K"]):
    """(g members, their log-weights): the members `within` each group merged by their moments. Groups of weight zero, and
    what weighs nothing beside others, stay finite."""
    shares = jnp.where(within, jnp.maximum(log_weights, _NOTHING), -jnp.inf)
    totals = jax.nn.logsumexp(shares, axis=1)
    moments = jax.vmap(lambda share: mixed(members, share))(shares - totals[:, None])
    like = jax.tree.map(lambda leaf: leaf[: within.shape[0]], members)
    weights = jnp.where((within & (log_weights > _NOTHING)).any(axis=1), totals, -jnp.inf)
    return jax.vmap(lambda b, mean, covariance: b.with_moments(mean, covariance))(like, *moments), weights


def labelled(members: AbstractGaussianBelief, labels: Int[Array, "K"]) -> AbstractGaussianBelief:
    """K beliefs about x as K about (x, label)."""
    return jax.vmap(lambda belief, label: belief.beside(label))(members, labels)


def unlabelled(members: AbstractGaussianBelief) -> AbstractGaussianBelief:
    """K beliefs about (x, label) as K about x."""
    return jax.vmap(lambda belief: belief.marginal(slice(0, belief.mean.shape[0] - 1)))(members)


class Mixture(AbstractWeighted):
    """K Gaussians stacked on their first axis, the logarithms of their weights `(K,)`, and what each supposes: `labels`
    `(K, l)`, numbers of jumps or a regime. A member of weight zero does not count."""

    members: AbstractGaussianBelief
    labels: Int[Array, "K l"]
    log_weights: Float[Array, "K"]
    time: Any

    @property
    def mean(self) -> Float[Array, "n"]:
        """Mean of the mixture."""
        return mixed(self.members, self.log_weights)[0]

    @property
    def covariance(self) -> Float[Array, "n n"]:
        """Covariance of the mixture."""
        return mixed(self.members, self.log_weights)[1]

    def probability(self, event: Callable) -> Float[Array, ""]:
        """The probability of what `event(labels)` says of a member's `(l,)` labels, such as `lambda jumps: jumps[0] > 0`."""
        return jnp.sum(jnp.where(jax.vmap(event)(self.labels), self.weights, 0.0))

    def sample(self, n: int, *, key) -> Float[Array, "k n"]:
        """Draws from a member by weight."""
        first, second = jax.random.split(key)
        index = drawn_by_weight(self.log_weights, n, first)
        chosen = jax.tree.map(lambda leaf: leaf[index], self.members)
        return jax.vmap(lambda b, k: b.sample(1, key=k)[0])(chosen, jax.random.split(second, n))

    def quantile(self, q) -> Float[Array, "*q n"]:
        """Where the marginal distribution functions reach q, by halving."""
        means, variances = jax.vmap(lambda b: (b.mean, jnp.diagonal(b.covariance)))(self.members)
        sd = jnp.sqrt(variances)
        level = jnp.asarray(q, means.dtype)[..., None]
        alive = (self.weights > 0)[:, None]

        def below(x):
            """P(X <= x), the step of a member without spread included."""
            z = (x[..., None, :] - means) / jnp.where(sd > 0, sd, 1.0)
            share = jnp.where(sd > 0, jax.scipy.special.ndtr(z), z >= 0)
            return jnp.sum(jnp.where(alive, self.weights[:, None] * share, 0.0), axis=-2)

        def halved(_, ends):
            low, high = ends
            middle = 0.5 * (low + high)
            enough = below(middle) >= level
            return jnp.where(enough, low, middle), jnp.where(enough, middle, high)

        reach = sd * jnp.max(jnp.abs(jax.scipy.special.ndtri(level)))
        ends = (
            jnp.min(jnp.where(alive, means - reach, jnp.inf), axis=0),
            jnp.max(jnp.where(alive, means + reach, -jnp.inf), axis=0),
        )
        ends = tuple(jnp.broadcast_to(end, (*level.shape[:-1], means.shape[1])) for end in ends)
        return jax.lax.fori_loop(0, _HALVINGS, halved, ends)[1]
