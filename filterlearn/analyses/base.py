"""What an ensemble analysis does, and the algebra that analyses share."""

import abc
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.core import Tracer
from jaxtyping import Array, Float

from filterlearn.numerics.densities import LOG_2PI
from filterlearn.numerics.masking import masked_covariance
from filterlearn.numerics.roots import inverse_root
from filterlearn.numerics.small import cholesky, lower_solve, upper_solve
from filterlearn.numerics.taper import gaspari_cohn


class Innovation(eqx.Module):
    """What an analysis is told of a datum, in units in which the observation noise is N(0, I).

    `spread` Z `(m, N)` holds the whitened deviations of the members' predictions over sqrt(N - 1), `error` e `(m,)` the
    whitened difference of the datum and their mean; both are 0 where an entry is missing. `factor` L `(m, m)`, with
    L L' = R (rows of missing entries those of the identity), turns whitened quantities back.
    """

    spread: Float[Array, "m N"]
    error: Float[Array, "m"]
    factor: Float[Array, "m m"]

    def log_density(self, mask):
        """log N(y; mean, Z Z' + R) of the observed entries; 0 when there are none."""
        factor = cholesky(_gram(self.spread))
        quadratic = self.error @ solve(self.spread, self.error[:, None])[:, 0]
        logdet = jnp.sum(jnp.log(jnp.diagonal(factor))) + jnp.sum(jnp.log(jnp.diagonal(self.factor)))
        return jnp.where(mask.any(), -0.5 * (quadratic + jnp.sum(mask) * LOG_2PI) - logdet, 0.0)


def innovation(predictions: Float[Array, "N m"], error, mask, r) -> Innovation:
    """The whitened innovation of a datum from the members' predictions of it."""
    deviations = jnp.where(mask, predictions - jnp.mean(predictions, axis=0), 0.0)
    factor = cholesky(masked_covariance(r, mask))
    columns = jnp.concatenate([deviations, jnp.where(mask, error, 0.0)[None]]).T
    white = lower_solve(factor, columns)
    return Innovation(white[:, :-1] / jnp.sqrt(predictions.shape[0] - 1.0), white[:, -1], factor)


def _gram(spread):
    """I + Z Z' or I + Z' Z, whichever is smaller; their determinants are equal."""
    m, n = spread.shape
    return (
        jnp.eye(m, dtype=spread.dtype) + spread @ spread.T if m <= n else jnp.eye(n, dtype=spread.dtype) + spread.T @ spread
    )


def solve(spread: Float[Array, "m N"], b: Float[Array, "m k"]) -> Float[Array, "m k"]:
    """(I + Z Z')^-1 B, in the smaller of the observation and the ensemble space."""
    factor = cholesky(_gram(spread))
    if spread.shape[0] <= spread.shape[1]:
        return upper_solve(factor, lower_solve(factor, b))
    return b - spread @ upper_solve(factor, lower_solve(factor, spread.T @ b))


def centred(members: Float[Array, "N n"]):
    """(mean `(n,)`, anomalies `(N, n)`)."""
    mean = jnp.mean(members, axis=0)
    return mean, members - mean


def transformed(members, weights, transform):
    """mean + sum of w_i a_i, plus T A: the members whose mean moved by `weights` `(N,)` and whose anomalies are mixed by
    the symmetric `transform` `(N, N)`."""
    mean, anomalies = centred(members)
    return mean + weights @ anomalies + transform @ anomalies


def symmetric_transform(members, seen: Innovation):
    """The members after the Kalman update with the sample moments, mixed by (I + Z' Z)^-1/2.

    Where a datum has fewer entries than there are members, by I - Z' (W + W^1/2)^-1 Z with W = I + Z Z', which is the same.
    """
    z, (m, n) = seen.spread, seen.spread.shape
    if m >= n:
        root = inverse_root(jnp.eye(n, dtype=z.dtype) + z.T @ z)
        return transformed(members, root @ (root @ (z.T @ seen.error)) / jnp.sqrt(n - 1.0), root)
    root, shared = inverse_root(_gram(z)), z @ centred(members)[1]
    square, factor = root @ root, cholesky(jnp.eye(m, dtype=z.dtype) + root)
    mixed = z.T @ upper_solve(factor, lower_solve(factor, square @ shared))
    return members + (square @ seen.error) @ shared / jnp.sqrt(n - 1.0) - mixed


def mean_preserving_rotation(key, n: int, dtype) -> Float[Array, "N N"]:
    """A random orthogonal matrix that leaves the vector of ones alone (Sakov & Oke 2008, doi:10.1175/2007MWR2021.1).

    An orthogonal matrix of dimension n - 1, uniform by the QR of normals, between two orthonormal bases of the space
    orthogonal to the ones.
    """
    raw, upper = jnp.linalg.qr(jax.random.normal(key, (n - 1, n - 1), dtype))
    rotation = raw * jnp.sign(jnp.diagonal(upper))
    corner = jnp.full((n, 1), 1.0 / jnp.sqrt(jnp.asarray(n, dtype)))
    basis = jnp.linalg.qr(jnp.concatenate([corner, jnp.eye(n, n - 1, dtype=dtype)], axis=1))[0][:, 1:]
    return corner @ corner.T + basis @ rotation @ basis.T


def check_distance(shape, members, seen: Innovation) -> None:
    """Raises ValueError unless a distance has a row for each state and a column for each entry of the datum."""
    wanted = (members.shape[1], seen.error.shape[0])
    if shape != wanted:
        raise ValueError(f"distance: shape {wanted} is needed, from each state to each observation, got {shape}")


class Taper(eqx.Module):
    """Covariance localisation: sample covariances are multiplied by Gaspari & Cohn's weight of the distance (Houtekamer &
    Mitchell 2001, doi:10.1175/1520-0493(2001)129<0123:ASEKFF>2.0.CO;2).

    `distance` `(n, m)` from states to observations, `between` `(m, m)` among observations, in the unit of `radius`: both
    covariances of the gain are tapered, because a taper on the first alone makes the filter diverge. The radius can be
    differentiated. Raises ValueError for matrices whose shapes do not fit or a radius that is not positive.
    """

    distance: Float[Array, "n m"]
    between: Float[Array, "m m"]
    radius: Any

    def __init__(self, distance, between, radius):
        self.distance, self.between, self.radius = jnp.asarray(distance, float), jnp.asarray(between, float), radius
        m = self.distance.shape[-1]
        if self.distance.ndim != 2 or self.between.shape != (m, m):
            shapes = f"got {self.distance.shape} and {self.between.shape}"
            raise ValueError(f"between: shape (m, m) is needed for a distance of shape (n, m), {shapes}")
        if not isinstance(radius, Tracer) and not float(radius) > 0:
            raise ValueError(f"radius: a positive distance is needed, got {radius}")

    def weights(self, members, seen: Innovation):
        """The weights of both covariances, `(n, m)` and `(m, m)`."""
        check_distance(self.distance.shape, members, seen)
        return tuple(gaspari_cohn(jnp.asarray(d, members.dtype), self.radius) for d in (self.distance, self.between))


class AbstractAnalysis(eqx.Module):
    """How the members of an ensemble are revised by a datum."""

    @abc.abstractmethod
    def revise(self, members: Float[Array, "N n"], seen: Innovation, *, key) -> Float[Array, "N n"]:
        """The members given the datum."""

    def analysed(self, start, members: Float[Array, "N n"], seen: Innovation, forward, see, *, key) -> Float[Array, "N n"]:
        """The members given the datum, by one who may look before the gap: `members` are `forward(start)`, with `start` what
        they were made of, a row for each, and `seen` is `see(members)`."""
        return self.revise(members, seen, key=key)
