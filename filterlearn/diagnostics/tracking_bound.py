"""How well any learner can do."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from filterlearn.data import Datum, checked
from filterlearn.inputs import by_row
from filterlearn.learners.joint import stacked
from filterlearn.models.base import AbstractGaussianObservation, AbstractGaussianTransition
from filterlearn.numerics.masking import masked_covariance, observed
from filterlearn.numerics.small import applied, cholesky, lower_solve, symmetric, upper_solve
from filterlearn.protocol import origin_of


class TrackingBound(eqx.Module):
    """Least covariances after each datum: of the state `(T, n, n)`, and of the parameters on the unconstrained scale
    `(T, p, p)`."""

    state: Float[Array, "T n n"]
    parameters: Float[Array, "T p p"]


def tracking_bound(family, data, *, key=None, draws: int = 200) -> TrackingBound:
    """The recursive posterior Cramer-Rao bound of a family on the times, the inputs and the pattern of missing entries of
    some data (Tichavsky, Muravchik & Nehorai 1998, doi:10.1109/78.668800): whatever learns (x_k, theta_k) from y_1..k, where
    all are drawn from the family, has at least the mean squared error J_k^-1,

        J' = D22 - D21 (J + D11)^-1 D12 + E[information of a datum],

    D the expected second derivatives of -log p(z' | z), z = (x, theta), substep by substep, taken over `draws` of the family
    (the values of `data` are not looked at). Equal to the exact filter's covariance where the stacked model is linear and
    Gaussian, whatever the key; elsewhere consistent as draws grow, and in general not attained. The start counts as the
    Gaussian of its moments, and to the variance of a substep in each direction is added that of its draws and 1, times the
    rounding unit to the power 2/3: 4e-11 in double precision.

    Raises TypeError for a transition that is not Gaussian in each substep (jumps, `ChangePoint`, `Forgetting`) or an
    observation that is not.
    """
    model = stacked(family)
    _check(family, model)
    covariance = _bounds(family, checked(data), jax.random.key(0) if key is None else key, draws)
    n = covariance.shape[-1] - family.size
    return TrackingBound(covariance[:, :n, :n], covariance[:, n:, n:])


def _check(family, model):
    inside = family(family.median).resolve()
    if not (isinstance(inside.transition, AbstractGaussianTransition) and inside.transition.gaussian):
        raise TypeError(f"family: substeps with a Gaussian law are needed, got {type(inside.transition).__name__}")
    if family.chances or family.kept(1.0)[0].size:
        raise TypeError("family: a Gaussian law of motion is needed; give Static, RandomWalk or OrnsteinUhlenbeck")
    if not isinstance(inside.observation, AbstractGaussianObservation):
        raise TypeError(f"family: a Gaussian observation is needed, got {type(inside.observation).__name__}")


@eqx.filter_jit
def _bounds(family, data, key, draws):
    model = stacked(family)
    first, rest = jax.random.split(key)
    start = model.initial.distribution
    points = start.sample(first, (draws,))
    begun = jnp.asarray(-jnp.inf if model.initial.time is None else model.initial.time, data.times.dtype)
    rows, read = by_row(data.inputs)
    floor = jnp.finfo(points.dtype).eps ** (2 / 3) * (jnp.var(points, axis=0) + 1.0)

    def one(carry, row):
        points, j, time = carry
        key, now, value, given = row
        datum = Datum(now, value, read(given))
        points, j = _ahead(model.transition, points, j, origin_of(time, now), datum, key, floor)
        j = j + jnp.mean(jax.vmap(lambda z: _told(model.observation, z, datum))(points), axis=0)
        return (points, symmetric(j), now), _inverse(j)

    begin = points, _inverse(start.covariance_matrix + jnp.diag(floor)), begun
    keys = jax.random.split(rest, len(data))
    return jax.lax.scan(one, begin, (keys, data.times, data.values, rows))[1]


def _ahead(transition, points, j, since, datum, key, floor):
    """(draws, information) after the gap; both as they were where it is none."""
    n = transition.substeps
    h = (datum.time - since) / n

    def one(carry, each):
        points, j = carry
        k, own = each
        law = lambda z: transition.moments(z, since + k * h, since + (k + 1) * h, datum.inputs)  # noqa: E731
        mean, factor = jax.vmap(law)(points)
        noise = jax.random.normal(own, (len(points), factor.shape[2]), points.dtype)
        moved = mean + jax.vmap(applied)(factor, noise)
        information = jnp.mean(jax.vmap(lambda z: _of_step(law, z, floor))(points), axis=0)
        return (jnp.where(h > 0, moved, points), jnp.where(h > 0, _marginal(j, information), j)), None

    return jax.lax.scan(one, (points, j), (jnp.arange(n), jax.random.split(key, n)))[0]


def _of_step(law, z, floor):
    """The information of z' ~ N(mean(z), Q(z)) about (z, z')."""

    def moments(z):
        mean, factor = law(z)
        return mean, factor @ factor.T + jnp.diag(floor)

    slope = jax.jacfwd(lambda both: both[len(z) :] - moments(both[: len(z)])[0])(jnp.concatenate([z, z]))
    bend = jax.jacfwd(lambda z: moments(z)[1])(z)
    return _gaussian(slope, jnp.pad(bend, [(0, 0), (0, 0), (0, len(z))]), moments(z)[1])


def _told(observation, z, datum):
    """The information of the entries of a datum that are there."""
    told = observed(datum.value)
    moments = lambda z: observation.moments(z, datum.time, datum.inputs)  # noqa: E731
    slope, bend = jax.jacfwd(moments)(z)
    both = told[:, None] & told
    return _gaussian(
        jnp.where(told[:, None], slope, 0.0), jnp.where(both[..., None], bend, 0.0), masked_covariance(moments(z)[1], told)
    )


def _gaussian(slope, bend, covariance):
    """M' V^-1 M + tr(V^-1 dV V^-1 dV) / 2 from the slopes of a mean `(m, k)` and of a covariance `(m, m, k)`."""
    factor = cholesky(covariance)
    white = lower_solve(factor, slope)
    turned = jax.vmap(lambda b: lower_solve(factor, lower_solve(factor, b).T), in_axes=2)(bend).reshape(slope.shape[1], -1)
    return white.T @ white + turned @ turned.T / 2


def _marginal(j, information):
    """The information about z' when that about z is j and (z, z') are told of."""
    n = j.shape[0]
    factor = cholesky(j + information[:n, :n])
    across = lower_solve(factor, information[:n, n:])
    return symmetric(information[n:, n:] - across.T @ across)


def _inverse(j):
    factor = cholesky(j)
    return symmetric(upper_solve(factor, lower_solve(factor, jnp.eye(j.shape[0], dtype=j.dtype))))
