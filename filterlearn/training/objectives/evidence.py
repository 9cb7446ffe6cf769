"""The evidence of a filter."""

from collections.abc import Callable

from filterlearn.protocol import AbstractAlgorithm, log_evidence
from filterlearn.training.objectives.base import AbstractObjective, quartered


class Evidence(AbstractObjective):
    """-log p(y_1..T) of the model `build(module)`, as `algorithm` gives it, in nats: maximum likelihood through the filter
    (Schweppe 1965, doi:10.1109/TIT.1965.1053737).

    A series is a Dataset; rows that are all NaN add 0. As exact as the algorithm's evidence; one that draws random numbers
    gets new ones at each step, and its resampler must have a derivative.
    """

    build: Callable
    algorithm: AbstractAlgorithm

    def loss(self, module, series, key):
        """Minus the log evidence."""
        return -log_evidence(self.algorithm, self.build(module), series, key=key)

    def finer(self, module):
        """With a quarter of the model's step."""
        build = quartered(self.build, module)
        return None if build is None else Evidence(build, self.algorithm)
