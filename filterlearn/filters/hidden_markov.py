"""The filter of finitely many states."""

from filterlearn.filters.base import finite_correction, finite_prediction, finite_start
from filterlearn.protocol import AbstractAlgorithm


class HiddenMarkov(AbstractAlgorithm):
    """The exact filter of a hidden Markov model (Baum et al. 1970, doi:10.1214/aoms/1177697196): the probability of each of K
    states, moved by `MarkovChain` or `MarkovProcess` and weighed by any observation law of the state's number.

    The belief is `Particles` on the states 0, ..., K - 1, whose weights are the probabilities. The evidence is exact. Needs
    `Initial` of a law over numbers, such as `numpyro.distributions.Categorical`; anything else is refused with TypeError.
    """

    def init(self, problem, *, key=None):
        """The initial probabilities."""
        return finite_start(self, problem)

    def predict(self, problem, belief, time, inputs=None, *, key=None):
        """P' w."""
        return finite_prediction(problem, belief, time, inputs)

    def update(self, problem, belief, datum, *, key=None):
        """w times the densities."""
        return finite_correction(problem, belief, datum)
