"""A latent SDE: the evidence by weighted paths."""

from collections.abc import Callable

import equinox as eqx

from filterlearn.clock import whole
from filterlearn.numerics.densities import log_mean_exp
from filterlearn.training.girsanov import weighed_paths
from filterlearn.training.objectives.base import AbstractObjective, quartered


class ImportanceBound(AbstractObjective):
    """-E log of the mean of p(y, x) / q(x) over `draws` paths x from q: a bound, tighter with more of them (Burda, Grosse
    & Salakhutdinov 2016, arXiv:1509.00519).

    `build` and `guide` are those of `PathBound`. exp(-loss) is unbiased for the evidence of the steps; the loss is the same
    under every key, in the limit of small steps, where f_q is the drift given all the data.
    """

    build: Callable
    guide: Callable
    draws: int = eqx.field(static=True)

    def __init__(self, build, guide, draws=8):
        self.build, self.guide, self.draws = build, guide, whole("draws", draws, 1)

    def loss(self, module, series, key):
        """Minus the log of the mean weight."""
        paths = weighed_paths(self.build, self.guide, self.draws, module, series, key)
        return -log_mean_exp(paths.log_weight)

    def finer(self, module):
        """With a quarter of the model's step."""
        build = quartered(self.build, module)
        return None if build is None else ImportanceBound(build, self.guide, self.draws)
