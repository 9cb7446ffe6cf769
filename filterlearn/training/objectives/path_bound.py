"""A latent SDE: the evidence bounded over paths."""

from collections.abc import Callable

import equinox as eqx
import jax.numpy as jnp

from filterlearn.clock import whole
from filterlearn.training.girsanov import weighed_paths
from filterlearn.training.objectives.base import AbstractObjective, quartered


class PathBound(AbstractObjective):
    """-E_q [log p(y | x) - int |g^-1 (f_q - f)|^2 dt / 2 + log p(x_0) - log q(x_0)] for q: dx = f_q dt + g dW, g that of
    the model (Tzen & Raginsky 2019, arXiv:1905.09883; Li, Wong, Chen & Duvenaud 2020, arXiv:2001.01328).

    `build(module)` is the model, by `EulerMaruyama` with noise in every state (or f_q = f there); `guide(module, series)`
    gives q: the Gaussian law of the start, and the drift f_q(t, x, u). The mean of `draws` paths, one noise driving model
    and guide. Unbiased for a bound on the evidence of those steps, equal to it in the limit of small ones where f_q is the
    drift given all the data.
    """

    build: Callable
    guide: Callable
    draws: int = eqx.field(static=True)

    def __init__(self, build, guide, draws=1):
        self.build, self.guide, self.draws = build, guide, whole("draws", draws, 1)

    def loss(self, module, series, key):
        """Minus the bound."""
        paths = weighed_paths(self.build, self.guide, self.draws, module, series, key)
        return -jnp.mean(paths.seen - paths.energy + paths.start)

    def finer(self, module):
        """With a quarter of the model's step."""
        build = quartered(self.build, module)
        return None if build is None else PathBound(build, self.guide, self.draws)
