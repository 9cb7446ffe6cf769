"""What the learners share."""

import jax.numpy as jnp

from filterlearn.numerics.forgetting import forgetting_map
from filterlearn.protocol import origin_of


def forgotten(family, belief, time):
    """A belief about a vector that ends in theta, with the parameters that forget let go towards their prior over the time
    since the belief; what it says of everything else given them stays."""
    entries, kept = family.kept(time - origin_of(belief.time, time))
    if not entries.size:
        return belief
    mean = belief.mean
    index = jnp.asarray(entries + mean.shape[0] - family.size)
    prior = family.median[entries], family.sd[entries]
    return belief.mapped(*forgetting_map(mean, belief.covariance, index, *prior, kept.astype(mean.dtype)))
