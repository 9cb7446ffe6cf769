"""Entropy-regularised optimal transport between weighted points and the same points equally weighted."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

_ROUNDS = 200  # at most
_SHRINK = 0.75**2  # of epsilon in a round, until it is the one asked for


def _softmin(epsilon, cost, potential, log_mass):
    """-epsilon log of the sum over j of mass_j exp((potential_j - cost_ij) / epsilon)."""
    return -epsilon * jax.nn.logsumexp(log_mass + (potential - cost) / epsilon, axis=1)


def _plan(problem, potentials):
    cost, rows, columns, epsilon = problem
    f, g = potentials
    return jnp.exp((f[:, None] + g[None, :] - cost) / epsilon + rows[:, None] + columns[None, :])


def _newton(problem, potentials):
    """A Newton step of the dual: [[diag P1, P], [P', diag P'1]] (df, dg) = epsilon (short rows, short columns), one constant
    being free; the matrix is held in derivatives."""
    _, log_rows, log_columns, epsilon = problem
    here = _plan(problem, potentials)
    plan = jax.lax.stop_gradient(here)
    short_rows, short_columns = jnp.exp(log_rows) - here.sum(1), jnp.exp(log_columns) - here.sum(0)
    rows, columns = plan.sum(1), plan.sum(0)
    scale = jnp.sqrt(columns)
    schur = jnp.diag(columns) - plan.T @ (plan / rows[:, None]) + jnp.outer(columns, columns)
    right = short_columns - plan.T @ (short_rows / rows)
    dg = jnp.linalg.solve(schur / scale[:, None] / scale, right / scale) / scale
    df = (short_rows - plan @ dg) / rows
    return potentials[0] + epsilon * df, potentials[1] + epsilon * dg


def _dual(problem, potentials):
    """What the potentials maximise; -inf where they overflow."""
    _, rows, columns, epsilon = problem
    value = jnp.exp(rows) @ potentials[0] + jnp.exp(columns) @ potentials[1] - epsilon * jnp.sum(_plan(problem, potentials))
    return jnp.where(jnp.isfinite(value), value, -jnp.inf)


def _potentials(problem, tolerance):
    """The dual's solution: epsilon annealed from the largest cost, in each round a symmetrised Sinkhorn update (Feydy et al.
    2019, arXiv:1810.08278), then a Newton step where that is higher."""
    cost, rows, columns, epsilon = problem

    def one(carry):
        f, g, eps, _, k = carry
        here = (cost, rows, columns, eps)
        plain = 0.5 * (f + _softmin(eps, cost, g, columns)), 0.5 * (g + _softmin(eps, cost.T, f, rows))
        fast = _newton(here, plain)
        better = _dual(here, fast) >= _dual(here, plain)
        new = jax.tree.map(lambda a, b: jnp.where(better, a, b), fast, plain)
        short = jnp.max(jnp.abs(_plan(here, new).sum(0) - jnp.exp(columns)))
        missed = jnp.where(eps <= epsilon, short * columns.shape[0], jnp.inf)
        return *new, jnp.maximum(eps * _SHRINK, epsilon), missed, k + 1

    def more(carry):
        return (carry[3] > tolerance) & (carry[4] < _ROUNDS)

    start = jnp.maximum(jnp.max(cost), epsilon)
    begin = (_softmin(start, cost, jnp.zeros_like(columns), columns), _softmin(start, cost.T, jnp.zeros_like(rows), rows))
    return jax.lax.while_loop(more, one, (*begin, start, jnp.asarray(jnp.inf, cost.dtype), 0))[:2]


def transport_plan(cost: Float[Array, "n n"], log_weights: Float[Array, "n"], epsilon, tolerance) -> Float[Array, "n n"]:
    """P that minimises the sum of P C + epsilon KL(P | 1/n w'), with rows that sum to 1/n and columns that sum to w.

    The potentials are found with everything frozen, until no column misses its mass by more than `tolerance` / n; one more
    Newton step carries the derivative of the solution, implicitly (Cuturi et al. 2022, arXiv:2201.12324).
    """
    rows = jnp.full_like(log_weights, -jnp.log(log_weights.shape[0]))
    problem = (cost, rows, log_weights, epsilon)
    found = _potentials(jax.lax.stop_gradient(problem), tolerance)
    return _plan(problem, _newton(problem, jax.lax.stop_gradient(found)))
