"""What the learners share."""

import jax
import jax.numpy as jnp
import numpy as np

from filterlearn.beliefs.particles import mean_of_told
from filterlearn.numerics.densities import effective_size, normalise
from filterlearn.numerics.forgetting import forgetting_map
from filterlearn.numerics.masking import observed
from filterlearn.protocol import COLLAPSED, AbstractAlgorithm, Info, origin_of

_STREAM = 2**31 - 2


class AbstractLearner(AbstractAlgorithm):
    """An algorithm one level up: its problem is a ModelFamily, and the parameters are part of what it infers."""


def forgotten(family, belief, time, *, key=None):
    """A belief about a vector that ends in theta, with the parameters that forget let go towards their prior over the time
    since the belief. What it says of the other parameters stays, and of everything else given the parameters. Points that
    resampling has copied are parted: the share 1 - lambda of each deviation is drawn afresh."""
    entries, kept = family.kept(time - origin_of(belief.time, time))
    if not entries.size:
        return belief
    mean = belief.mean
    others = np.setdiff1d(np.arange(family.size), entries)
    places = [jnp.asarray(part + mean.shape[0] - family.size) for part in (others, entries)]
    prior = family.median[entries], family.sd[entries]
    kept = kept.astype(mean.dtype)
    own = None if key is None else jax.random.fold_in(key, _STREAM)  # `key` itself drives the filter's prediction
    law = forgetting_map(mean, belief.covariance, *places, *prior, kept, belief.fresh(1 - kept))
    return belief.mapped(*law, key=own)


def weighed(prior, infos, value):
    """(log-weights, Info of the mixture) once M filters, weighing exp(`prior`) before, all saw one datum. One that is not
    finite gets weight zero; predictions are those of the filters that make one, flags those of the filters that still weigh.
    """
    evidence = jnp.where(jnp.isfinite(infos.log_evidence), infos.log_evidence, -jnp.inf)
    weights, total = normalise(prior + evidence)
    share, (means, variances) = jnp.exp(prior), infos.predicted
    mean = mean_of_told(means, share)
    variance = mean_of_told(variances + (means - mean) ** 2, share)
    total = jnp.where(observed(value).any(), total, 0.0)
    raised = jax.lax.reduce_or(jnp.where(jnp.exp(weights) > 0, infos.flags, 0), axes=(0,)) | COLLAPSED * ~jnp.isfinite(total)
    info = Info(total, (mean, variance), mean_of_told(infos.pit, share), effective_size(weights), raised.astype(jnp.int32))
    return weights, info
