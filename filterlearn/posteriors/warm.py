"""What a fit drew, for a stream or another fit to start from."""

import jax
import jax.numpy as jnp

from filterlearn.models.family import ModelFamily


def informed(family, tree) -> ModelFamily:
    """The family whose learners start from the posterior of a fit instead of the prior: `Session(learner, informed(family,
    fit(...)), key=...)`. What the fit did not draw, such as the moving parameters of a learner, starts from the prior.

    The other way, from a stream to a fit, is `fit(..., start=belief.parameters.sample(n, key=...))`, and from a fit to
    another `fit(..., start=tree)`. Exact but for the number of draws: the learner then counts the data of the fit once if
    it goes on after them. Raises ValueError when no parameter of the family was drawn, or one has another shape.
    """
    return family.started(drawn_before(family, tree))


def drawn_before(family, tree):
    """The unconstrained draws `(n, p)` of a fit, of the prior where it drew none; refused as by `informed`."""
    posterior = tree["posterior"].dataset
    found = {name: jnp.asarray(posterior[name].values) for name in family.names if name in posterior}
    if not found:
        raise ValueError(f"tree: its posterior has {list(posterior)}, and the family {list(family.names)}; fit this family")
    found = {name: values.reshape(-1, *values.shape[2:]) for name, values in found.items()}
    count = len(next(iter(found.values())))
    prior = jax.vmap(family.constrain)(family.sample_prior(count, key=jax.random.key(0)))
    for name, values in found.items():
        if values.shape != prior[name].shape:
            raise ValueError(f"tree: {name!r} of shape {prior[name].shape[1:]} is needed, got {values.shape[1:]}")
    return jax.vmap(family.unconstrain)(prior | found)


def unconstrained(dataset, family):
    """Named draws `(chains, draws, ...)` of all the parameters of a family as its vectors, `(chains, draws, p)`."""
    values = {name: jnp.asarray(dataset[name].to_numpy(), family.median.dtype) for name in family.names}
    return jax.vmap(jax.vmap(family.unconstrain))(values)
